"""What a client calls over HTTP: one application whose routers answer for the kind of model that is served."""
