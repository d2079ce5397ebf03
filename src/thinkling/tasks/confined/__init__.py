"""What runs inside the sandbox's two processes; standard library only, and nothing of Thinkling outside this folder."""
