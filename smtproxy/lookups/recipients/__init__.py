"""Who can get mail here: the sources of recipients, one file each, and how they are combined."""
