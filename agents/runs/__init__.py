"""A training run as a folder: what ``lang-envs train`` writes, and what is made from it afterwards.

runs/x/config.json          everything needed to repeat it
runs/x/metrics.jsonl        the log; checkpoints/ while it trains
runs/x/agent/               what ``Agent.load`` opens; without adapters, ``AutoModelForCausalLM.from_pretrained`` too
runs/x/decoding.json        the decoding that was chosen, and those that were tried (``agents.runs.decoding_file``)
"""
