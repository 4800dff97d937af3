"""Words that pages are filled with. Places are real divisions, so that codes and addresses fit; all else is made up."""
