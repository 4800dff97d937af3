"""Plain pages of three papers, each drawn from one merchant's facts."""
