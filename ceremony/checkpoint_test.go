package ceremony_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/virtual"
)

// withData is an event with other data.
func withData(t *testing.T, e transcript.Event, data any) transcript.Event {
	t.Helper()
	text, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	e.Data = text
	return e
}

// checkCheckpoints opens each checkpoint that was signed as a note, by the key in
// 9a of its signer, which is of that kind.
func checkCheckpoints(t *testing.T, dir string, now *state.State, algorithm keys.Algorithm) {
	t.Helper()
	log, err := transcript.Read(logOf(t, dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	signed := 0
	for _, e := range log.Events {
		if e.Type != state.TypeCheckpointSigned {
			continue
		}
		signed++
		var data state.CheckpointSigned
		if err := state.Read(e, &data); err != nil {
			t.Fatal(err)
		}
		key := now.Holders[data.Holder].Prepared.Authentication
		note := transcript.Note(transcript.Text(log.Origin(), data.Checkpoint), transcript.SignatureLine(log.Origin(), data.Signature))
		got, by, err := transcript.OpenNote(note, log.Origin(), key)
		of := e.Seq - 1 // at a visit; at the closing all sign one text
		if now.SealedAt > 0 && e.Seq > now.SealedAt {
			of = now.SealedAt
		}
		if err != nil || len(by) != 1 || got != log.CheckpointAt(of) || key.Algorithm != algorithm {
			t.Errorf("line %d: %v by %v, %v", e.Seq, got, by, err)
		}
	}
	if signed < 2*len(now.Holders) {
		t.Errorf("%d checkpoints of %d holders", signed, len(now.Holders))
	}
}

func TestCheckpointsAreNotes(t *testing.T) {
	s, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	checkCheckpoints(t, s.dir, desk.State(), keys.Ed25519)
}

// openedOn is a desk of a plan with P-256 keys, and tokens of a firmware for its holders.
func openedOn(t *testing.T, firmware keys.Firmware) (*stage, *ceremony.Desk) {
	t.Helper()
	s := newStage(t, `algorithm = "ed25519"`, `algorithm = "ecdsa-p256"`, `min_firmware = "5.7.0"`, `min_firmware = "5.4.3"`)
	for _, sticker := range allStickers {
		if _, err := s.drawer.Add(sticker, virtual.Options{Firmware: firmware}); err != nil {
			t.Fatal(err)
		}
	}
	desk, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = desk.Close() })
	tokens := desk.Tokens()
	tokens.Stickers = allStickers
	desk.UseTokens(tokens)
	return s, desk
}

// Tokens with firmware below 5.7 sign checkpoints with P-256.
func TestCheckpointsOfOlderFirmware(t *testing.T) {
	s, desk := openedOn(t, keys.Firmware{Major: 5, Minor: 4, Patch: 3})
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	checkCheckpoints(t, s.dir, desk.State(), keys.P256)
}

// A checkpoint counts for the fold only as the log has it, and signed by the key
// of that holder.
func TestForgedCheckpoints(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol chen")
	all := events(t, s.dir)
	last := all[len(all)-1]
	var good, alices state.CheckpointSigned
	if err := state.Read(last, &good); err != nil || good.Holder != "bruno" {
		t.Fatalf("%+v, %v", last, err)
	}
	alices = *desk.State().Holders["alice"].Checkpoint
	signature := func(change func(raw []byte)) string {
		raw, err := base64.StdEncoding.DecodeString(good.Signature)
		if err != nil {
			t.Fatal(err)
		}
		change(raw)
		return base64.StdEncoding.EncodeToString(raw)
	}
	for name, change := range map[string]func(*state.CheckpointSigned){
		"another size":          func(c *state.CheckpointSigned) { c.Checkpoint.Size-- },
		"a size to come":        func(c *state.CheckpointSigned) { c.Checkpoint.Size += 5 },
		"no size":               func(c *state.CheckpointSigned) { c.Checkpoint.Size = 0 },
		"another root":          func(c *state.CheckpointSigned) { c.Checkpoint.Root = strings.Repeat("0", 64) },
		"an older checkpoint":   func(c *state.CheckpointSigned) { c.Checkpoint = alices.Checkpoint },
		"alice's signature":     func(c *state.CheckpointSigned) { *c = alices; c.Act = good.Act },
		"alice's name":          func(c *state.CheckpointSigned) { c.Act = alices.Act },
		"another key id":        func(c *state.CheckpointSigned) { c.Signature = signature(func(raw []byte) { raw[0] ^= 1 }) },
		"another signature":     func(c *state.CheckpointSigned) { c.Signature = signature(func(raw []byte) { raw[20] ^= 1 }) },
		"no signature":          func(c *state.CheckpointSigned) { c.Signature = "" },
		"two lines":             func(c *state.CheckpointSigned) { c.Signature += "\n— x " + c.Signature },
		"a signature in hex":    func(c *state.CheckpointSigned) { c.Signature = strings.Repeat("ab", 64) },
		"what is no base64":     func(c *state.CheckpointSigned) { c.Signature = "?" },
		"another serial number": func(c *state.CheckpointSigned) { c.Serial++ },
	} {
		data := good
		change(&data)
		if _, err := state.Fold(append(all[:len(all)-1:len(all)-1], withData(t, last, data))); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// The first line has 32 random bytes, and no other has any.
func TestRandomBytesOfTheFirstLine(t *testing.T) {
	s, desk := opened(t)
	desk.Close()
	desk, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	if err := desk.Note("gone on", false); err != nil {
		t.Fatal(err)
	}
	desk.Close()
	all := events(t, s.dir)
	if len(all) != 3 || all[1].Type != state.TypeContinued {
		t.Fatalf("%+v", all)
	}
	var begun state.Begun
	if err := state.Read(all[0], &begun); err != nil || len(begun.Random) != 64 || bytes.Contains(all[1].Data, []byte("random")) {
		t.Errorf("%+v, %s, %v", begun, all[1].Data, err)
	}
	for _, random := range []string{"", begun.Random[:62], begun.Random + "00", strings.ToUpper(strings.Repeat("ab", 32)), strings.Repeat("x", 64)} {
		other := begun
		other.Random = random
		if _, err := state.Fold([]transcript.Event{withData(t, all[0], other)}); err == nil {
			t.Errorf("%q is taken", random)
		}
	}
	if _, err := state.Fold([]transcript.Event{all[0], withData(t, all[1], begun)}); err == nil {
		t.Error("a later line with random bytes is taken")
	}
	other, desk := opened(t)
	desk.Close()
	if transcript.Origin(events(t, other.dir)[0]) == transcript.Origin(all[0]) {
		t.Error("two ceremonies have one origin")
	}
}

// A death while the first line was written is told of in the second, and the
// ceremony begins as others do.
func TestDeathInTheFirstLine(t *testing.T) {
	s := newStage(t)
	const left = `{"seq":1,"time":"2026-11`
	if err := os.WriteFile(filepath.Join(s.dir, transcript.FileName), []byte(left), 0o600); err != nil {
		t.Fatal(err)
	}
	desk, err := s.open(clock, allStickers...)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	all := events(t, s.dir)
	if len(all) != 2 || all[0].Type != state.TypeBegun || all[1].Type != transcript.TypeSetAside || !bytes.Contains(all[1].Data, []byte(`"bytes":24,`)) {
		t.Fatalf("%+v", all)
	}
	runTo(t, desk, "enrol bruno") // with a checkpoint by Alice
}

// A medium that the ceremony is copied to gets the private part of the log too.
func TestCopiesOfThePrivatePart(t *testing.T) {
	s, desk := beforeCopies(t)
	runTo(t, desk, "copies")
	desk.Close()
	log, err := transcript.Create(s.dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(state.TypeNote, "room", state.Note{Text: "x"}, map[string]string{"text": "not for all"}, nil); err != nil {
		t.Fatal(err)
	}
	log.Close()
	desk, err = s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	private := filepath.Join(s.dir, transcript.PrivateName)
	text, err := os.ReadFile(private)
	if err != nil {
		t.Fatal(err)
	}
	medium := t.TempDir()
	if err := os.WriteFile(private, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "copies", &prompt.Script{Answers: to(medium, t.TempDir())}); err == nil || !strings.Contains(err.Error(), "nothing was copied") {
		t.Error(err)
	}
	// What the task said of it went behind the end, where it belongs.
	file, err := os.OpenFile(private, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteAt(text, 0)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(private); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "copies", &prompt.Script{Answers: to(medium, t.TempDir())}); err != nil {
		t.Fatal(err)
	}
	s.checkMedium(medium)
	if there, err := os.ReadFile(filepath.Join(s.folderOn(medium), transcript.PrivateName)); err != nil || !bytes.Equal(there, text) {
		t.Errorf("%q, %v", there, err)
	}
}
