"""What a third party adds to twinzoo, as small as it gets."""
