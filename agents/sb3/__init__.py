"""What stable-baselines3's PPO works with, made of ours: the environment, the rollout buffer and the policy."""
