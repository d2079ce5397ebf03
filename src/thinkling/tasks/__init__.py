"""Ask and judge: a task owns its examples, its symmetries and its judge. No tensor library, no model."""
