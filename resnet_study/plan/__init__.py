"""What a sweep would take, in runs, time and disk, before anything is started."""
