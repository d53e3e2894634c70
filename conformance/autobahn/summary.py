# Prints what the Autobahn|Testsuite found; exits 1 if a case failed or too few ran. Runs on Python 2.7 and 3.
#
#   python summary.py report/index.json EXPECTED
#
# Behaviours: OK, NON-STRICT (allowed, but later than it could be), INFORMATIONAL (the RFC leaves it open),
# UNIMPLEMENTED, FAILED. `behaviorClose` judges the closing handshake alone.
import json
import sys

agents = json.load(open(sys.argv[1]))
bad = []
total = 0
for agent, cases in sorted(agents.items()):
    counts = {}
    for name, case in cases.items():
        total += 1
        counts[case["behavior"]] = counts.get(case["behavior"], 0) + 1
        verdict = (case["behavior"], case["behaviorClose"])
        if "FAILED" in verdict or "WRONG CODE" in verdict or "UNCLEAN" in verdict:
            bad.append((tuple(int(part) for part in name.split(".")), name, verdict))
    print("%s: %d cases, %s" % (
        agent, len(cases), ", ".join("%s %d" % (name, counts[name]) for name in sorted(counts))))
for _, name, verdict in sorted(bad):
    print("FAILED %s: behavior %s, close %s" % (name, verdict[0], verdict[1]))
expected = int(sys.argv[2])
if total < expected:
    print("FAILED: %d cases ran, expected at least %d: is the server there, and still alive?" % (total, expected))
sys.exit(1 if bad or total < expected else 0)
