package ceremony_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/virtual"
)

// wholeLogs are the logs of ceremonies in which, between them, every kind of
// event happens, with every kind of holder. They are made once. With -update
// package state gets them for its own tests.
func wholeLogs(t *testing.T) map[string]wholeLog {
	t.Helper()
	if madeLogs == nil {
		logs := map[string]wholeLog{"backups": backupsLog(t), "rotation": rotationLog(t), "doubts": doubtsLog(t), "alarms": alarmsLog(t), "renewal": renewalLog(t)}
		logs["elsewhere"], logs["enrolment"] = elsewhereLogs(t)
		seen := map[string]bool{}
		for _, log := range logs {
			all, _ := lines(t, log)
			for _, e := range all {
				seen[e.Type] = true
			}
		}
		for _, kind := range ceremony.EventTypes() {
			if !seen[kind] {
				t.Errorf("in no ceremony %s happens", kind)
			}
		}
		if *update {
			for name, log := range logs {
				for kind, text := range map[string][]byte{"": log.public, ".private": log.private} {
					if err := os.WriteFile(filepath.Join("state/testdata", name+kind+".jsonl"), text, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		madeLogs = logs
	}
	return madeLogs
}

// wholeLog is a log with its private part.
type wholeLog struct{ public, private []byte }

func wholeLogOf(t testing.TB, dir string) wholeLog {
	t.Helper()
	public, private, err := transcript.ReadFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	return wholeLog{public, private}
}

var madeLogs map[string]wholeLog

var update = flag.Bool("update", false, "write the logs that package state is tested with again")

// backupsLog is a ceremony with backups, in which tokens are wiped, cut off,
// lost, unblocked and replaced, and one with a spare.
func backupsLog(t *testing.T) wholeLog {
	t.Helper()
	s, desk := withBackups(t, `token = "A-01"`, "token = \"A-01\"\nspare = true")
	stickers := slices.Clone(desk.Tokens().Stickers)
	for _, more := range []string{"FRESH-3", "FRESH-4", "FRESH-5"} {
		if _, err := s.drawer.Add(more, virtual.Options{}); err != nil {
			t.Fatal(err)
		}
		stickers = append(stickers, more)
	}
	tokens := desk.Tokens()
	tokens.Stickers = stickers
	desk.UseTokens(tokens)
	run := func(desk *ceremony.Desk, id string, answers map[string]string) {
		t.Helper()
		if err := desk.Run(t.Context(), id, &prompt.Script{Answers: answers}); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}

	runTo(t, desk, "enrol alice")
	used, wrong := s.openToken("A-01"), newSecret(t, "000001")
	for range 3 {
		if err := used.VerifyPIN(wrong); !errors.As(err, new(*keys.PINError)) {
			t.Fatal(err)
		}
		if err := used.Unblock(wrong, wrong); !errors.As(err, new(*keys.PINError)) {
			t.Fatal(err)
		}
	}
	used.Close()
	run(desk, "enrol alice", nil)
	startOver(t, desk)
	runTo(t, desk, "key alice")
	s.die = "after ChangePUK"
	if err := desk.Run(t.Context(), "key alice", &prompt.Script{}); err == nil {
		t.Fatal("not cut off")
	}
	s.die = ""
	runTo(t, desk, "review")
	if err := desk.Note("the kettle is broken", false); err != nil {
		t.Fatal(err)
	}
	lost := quorum(map[string]string{"restore.whose": "dana", "restore.what": "key", "restore.sticker": "FRESH-2", "open.who 1": "nobody"})
	if err := desk.Run(t.Context(), "restore", &prompt.Script{Answers: lost}); err == nil {
		t.Fatal("opened by nobody")
	}
	run(desk, "restore", quorum(map[string]string{"restore.whose": "dana", "restore.goon dana": "give-up", "restore.what": "key", "restore.sticker": "FRESH-3"}, "alice", "chen", "emil"))
	s.block("B-02")
	run(desk, "restore", quorum(map[string]string{"restore.whose": "bruno", "restore.what": "pin"}, "alice", "bank-safe", "emil"))
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}

	desk = s.only(t, desk, (*ceremony.Desk).OnlyRestore)
	run(desk, "restore", map[string]string{"restore.whose": "alice", "restore.what": "spare"})
	desk = s.only(t, desk, (*ceremony.Desk).OnlyRestore)
	tokens = desk.Tokens()
	tokens.Stickers = stickers
	desk.UseTokens(tokens)
	run(desk, "restore", quorum(map[string]string{"restore.whose": "emil", "restore.what": "key", "restore.sticker": "FRESH-4"}, "bruno", "chen", "bank-safe"))
	desk = s.only(t, desk, (*ceremony.Desk).OnlyCheckup)
	run(desk, "checkup chen", nil)
	run(desk, "checkup end", nil)
	return wholeLogOf(t, s.dir)
}

// rotationLog is a rotation with keys that stay, go and come, a draft that is
// abandoned and taken up again, and another root of the same version.
func rotationLog(t *testing.T) wholeLog {
	t.Helper()
	g := newGathering(t)
	away := g.signs(t, g.elsewhere(t), "alice")
	there, desk := g.duplicate()
	tokens := desk.Tokens()
	tokens.Stickers = append(slices.Clone(allStickers), "F-06")
	desk.UseTokens(tokens)
	if _, err := desk.Collect(away); err != nil {
		t.Fatal(err)
	}
	chen, dana := g.signers[2], g.signers[3]
	g.collect(t, desk, chen)
	g.abandon(t, desk, "bruno")
	g.collect(t, desk, "bruno")
	digest := desk.State().Abandoned[0].Draft.Digest
	answers := map[string]string{"resume.why": "a test",
		"retire.where " + chen: "here", "retire.where " + dana: "elsewhere"}
	for id, answer := range g.script.Answers {
		answers[id] = answer
	}
	a := &prompt.Script{Answers: answers}
	for _, id := range []string{"resume " + digest[:8], "rollcall review", "review", "sign " + dana, "sign farah", "publish", "retire " + chen, "retire " + dana} {
		if err := desk.Run(t.Context(), id, a); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	if err := runAll(desk, a); err != nil {
		t.Fatal(err)
	}
	return wholeLogOf(t, there.dir)
}

// elsewhereLogs are a ceremony in which one enrols elsewhere, and the log that is
// handed over.
func elsewhereLogs(t *testing.T) (ceremonys, enrolment wholeLog) {
	t.Helper()
	s, desk := opened(t)
	emil := goAway(t, s, desk, "emil")
	if _, err := desk.Collect(emil.enrolled()); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "enrol emil", &prompt.Script{Cards: emil.cards}); err != nil {
		t.Fatal(err)
	}
	runTo(t, desk, "sign alice")
	return wholeLogOf(t, s.dir), wholeLogOf(t, emil.dir)
}

// doubtsLog is a ceremony in which a second machine shows other words at first,
// and no medium is there in the end.
func doubtsLog(t *testing.T) wholeLog {
	t.Helper()
	s, desk := opened(t)
	runTo(t, desk, "enrol chen")
	s.paper = true
	desk = s.again(t, desk)
	runTo(t, desk, "review")
	differs(t, desk)
	if err := runAll(desk, &prompt.Script{Answers: map[string]string{"review.second": "yes", "carry.how 1": "none", "carry.why": "a test"}}); err != nil {
		t.Fatal(err)
	}
	return wholeLogOf(t, s.dir)
}

// renewalLog is a renewal that is signed elsewhere alone: no token comes that could
// sign the log.
func renewalLog(t *testing.T) wholeLog {
	t.Helper()
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	planned := following(agreed.Rotate, "", members(t, desk)...)
	other, elsewhere := first.follow(planned)
	if err := runAll(elsewhere, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	signed, err := os.ReadFile(filepath.Join(other.dir, "publish", "2.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	s, renewal := first.follow(planned)
	runTo(t, renewal, "sign alice")
	if _, err := renewal.Collect(signed); err != nil {
		t.Fatal(err)
	}
	a := &prompt.Script{Answers: map[string]string{"checkpoints.who": "none"}}
	for _, id := range []string{"publish", "seal", "checkpoints", "sums"} {
		if err := renewal.Run(t.Context(), id, a); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	return wholeLogOf(t, s.dir)
}

// lines are the events of a log, each with the log as it was before.
func lines(t testing.TB, log wholeLog) (all []transcript.Event, before []wholeLog) {
	t.Helper()
	read, err := transcript.Read(log.public, log.private)
	if err != nil || read.Tail != nil || read.PrivateTail != nil {
		t.Fatalf("%+v, %v", read, err)
	}
	at, private := 0, 0
	for i, line := range slices.Collect(strings.Lines(string(log.public))) {
		before = append(before, wholeLog{log.public[:at], log.private[:private]})
		at += len(line)
		if read.Events[i].Commitment != "" {
			private += bytes.IndexByte(log.private[private:], '\n') + 1
		}
	}
	return read.Events, before
}

// full is a log with those lines that takes no more.
func full(t *testing.T, dir string, log wholeLog) *transcript.Log {
	t.Helper()
	for name, text := range map[string][]byte{transcript.FileName: log.public, transcript.PrivateName: log.private} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := transcript.Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l
}
