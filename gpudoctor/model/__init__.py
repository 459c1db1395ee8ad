"""Values that everything else reads: frozen, typed, with the unit in the field's name."""
