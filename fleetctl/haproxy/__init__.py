"""HAProxy: text from sections (pure), and the balancer that applies it and reads it back."""
