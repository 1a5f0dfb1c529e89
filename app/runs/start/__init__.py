"""The weights that a run begins with (`init_from`): a run, a checkpoint, or a sibling in another scheme."""
