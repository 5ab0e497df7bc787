"What is in a folder, and a folder that was changed by somebody with bad intentions."
import hashlib
import json


def names(folder):
    "Names of what is in a folder, sorted."
    return sorted(p.name for p in folder.iterdir())


def sign(folder):
    "Make the checksums match, as somebody with bad intentions would."
    files = [p for p in folder.iterdir() if p.name != "checksums.json"]
    signed = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    (folder/"checksums.json").write_text(json.dumps(signed))


def edit_facts(folder, change):
    "A bundle whose facts were changed by a function, signed again."
    facts = json.loads((folder/"bundle.json").read_text())
    change(facts)
    (folder/"bundle.json").write_text(json.dumps(facts))
    sign(folder)
    return folder
