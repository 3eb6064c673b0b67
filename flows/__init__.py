"""What gets scheduled: thin Prefect flows over the steps of ``tasks``."""
