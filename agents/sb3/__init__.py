"""The environment, the rollout buffer and the policy for the PPO of stable-baselines3."""
