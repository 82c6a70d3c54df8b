"""The services of docker-compose.yaml on this machine, without containers; broken on purpose, and looked at."""
