module smallmind-clients/plain

go 1.19
