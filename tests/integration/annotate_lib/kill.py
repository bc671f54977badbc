"""kill.py PROGRAM CORPUS SCRATCH SEED: people accept masks while the server is killed at random moments, and started
again. What was confirmed is there, and nothing twice."""

import os
import random
import sys
import threading
import time

from server import Person, Refused, Server, counts_of, read_journal

KILLS = 20
PEOPLE = 3


def work(person, stop, sent, confirmed, faults):
    """Masks on whatever image comes, until told to stop; the last one is seen through."""
    try:
        image = person.insist("/api/next", {})
        while not stop.is_set() and image["image"] is not None:
            image = work_on(person, image, sent, confirmed)
    except Exception as fault:  # pylint: disable=broad-except
        faults.append(fault)


def work_on(person, image, sent, confirmed):
    """Some masks, and perhaps the end of it. The image to go on with."""
    height, width = image["height"], image["width"]
    answers = []
    for _ in range(person.rng.randrange(1, 12)):
        start, length = person.rng.randrange(height * (width - 1)), person.rng.randrange(1, height)
        answers.append(person.answer("accept", image["image"], size=[height, width], clicks=2,
                                     counts=counts_of([start, length, height * width - start - length])))
    is_done = person.rng.random() < 0.1
    if is_done:
        answers.append(person.answer("done", image["image"]))
    for answer in answers:
        sent[answer["id"]] = answer
        try:
            person.insist("/api/answer", answer)
        except Refused as refused:
            if refused.status != 409:
                raise
            # After a restart somebody else came first: this mask was never confirmed, and the page says so.
            return person.insist("/api/next", {})
        confirmed.append(answer["id"])
    return person.insist("/api/next", {"after": image["image"]}) if is_done else image


def main():
    program, corpus, scratch, seed = sys.argv[1:]
    rng = random.Random(int(seed))
    answers = os.path.join(scratch, "killed.mma")
    server = Server(program, corpus, answers, "--rate", "0", "--lease", "600")
    stop, faults, people = threading.Event(), [], []
    for i in range(PEOPLE):
        person = Person(server, f"person {i}", random.Random(rng.random()))
        sent, confirmed = {}, []
        thread = threading.Thread(target=work, args=(person, stop, sent, confirmed, faults))
        thread.start()
        people.append((thread, sent, confirmed))
    for _ in range(KILLS):
        time.sleep(rng.random() * 0.4)
        server.kill()
        server.start()
    stop.set()
    for thread, _, _ in people:
        thread.join()
    assert server.kill(15) == 0, "SIGTERM did not end it well"
    server.start()
    assert server.kill_by_threads(15) == 0, "SIGTERM to a thread of a library did not end it well"
    assert not faults, faults
    journal = read_journal(answers)
    ids = [answer["id"] for answer in journal]
    assert len(ids) == len(set(ids)), "an answer is there twice"
    written = {answer["id"]: answer for answer in journal}
    total = 0
    for _, sent, confirmed in people:
        total += len(confirmed)
        for one in confirmed:
            assert one in written, f"the confirmed answer {one} is lost"
            for key in ("do", "image", "counts", "annotator", "clicks", "size"):
                assert sent[one].get(key, 0) == written[one].get(key, 0), f"{key} of {one} has changed"
        for one in set(sent) & set(ids):
            written.pop(one)
    assert not written, f"answers that nobody sent: {written}"
    assert total > KILLS, f"only {total} answers in {KILLS} kills"
    print(f"annotate: {total} answers were confirmed while the server was killed {KILLS} times; {len(ids)} are there, "
          "all once")


main()
