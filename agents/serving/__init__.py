"""A trained agent behind OpenAI's protocol: chat completions and completions, spoken by ``agent.policy()``."""
