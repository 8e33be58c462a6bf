"""The main job: a catalogue and its interactions in, recommendations and a report out."""
