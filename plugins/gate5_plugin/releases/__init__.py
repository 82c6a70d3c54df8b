"""The pages "Releases" in Airflow's navigation: channels, their history, releases, candidates."""
