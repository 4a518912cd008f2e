package state

import (
	"encoding/hex"
	"fmt"

	"rootceremony/ceremony/agreed"
	"rootceremony/keys"
)

// Written is a file that follows from the log.
type Written struct {
	Name string // in the ceremony directory, with slashes
	Text []byte
}

// File is a written one as an event names it.
func (w Written) File() File { return File{w.Name, agreed.DigestOf(w.Text)} }

// wrote holds an event to the file that its task writes: an event does not say
// where something is written, or what.
func (s *State) wrote(said File, is Written) error {
	if said != is.File() {
		return fmt.Errorf("it names the file %q with SHA-256 %s, not %q with %s", said.Name, said.SHA256, is.Name, agreed.DigestOf(is.Text))
	}
	s.Files = append(s.Files, said)
	return nil
}

// verifyHex checks a signature in lower-case hex.
func verifyHex(public keys.PublicKey, message []byte, signature string) error {
	raw, err := hex.DecodeString(signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return public.Verify(message, raw)
}

const PlanFile = "plan.toml"

// The agreed plan: what is public of it, and what isn't.
const (
	ResolvedFile    = "plan.resolved.json"
	PrivatePlanFile = "private/plan.json"
)

const PublishDir = "publish"
