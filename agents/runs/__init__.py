"""A training run as a folder: what ``lang-envs train`` writes, and all that is made of it afterwards.

runs/x/config.json          everything needed to repeat it
runs/x/metrics.jsonl        the log; checkpoints/ while it trains
runs/x/agent/               what ``Agent.load`` opens (and but for adapters ``AutoModelForCausalLM.from_pretrained``)
runs/x/decoding.json        how the agent speaks, and what was tried (``agents.runs.decoding_file``)
"""
