"""One module per document or group; DOCUMENTS holds every type's layouts by name."""
from . import deed_new, deed_old, household, id_card, licence, other, passport, permit

DOCUMENTS = {
    "id_front": id_card.FRONT, "id_back": id_card.BACK, "temp_id": id_card.TEMPORARY, "hkmo_permit": permit.HKMO, "taiwan_permit": permit.TAIWAN,
    "taiwan_compatriot": permit.COMPATRIOT, "passport": passport.LAYOUTS, "household_head": household.HEAD, "household_member": household.MEMBER,
    "deed_old": deed_old.LAYOUTS, "deed_new": deed_new.LAYOUTS, "business_licence": licence.LAYOUTS, "other": other.LAYOUTS,
}


def draw(look, doc_type, layout=None):
    """A page of the type and the name of its layout."""
    layouts = DOCUMENTS[doc_type]
    if layout is None:
        weights = [other.WEIGHTS[name] for name in layouts] if doc_type == "other" else None
        layout = look.rng.choices(list(layouts), weights)[0]
    return layouts[layout](look), layout
