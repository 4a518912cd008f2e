package state

import (
	"bytes"
	"encoding/json"

	"rootceremony/keys"
)

// possessionPrefix begins what a root key signs besides root metadata, so that it
// can never be taken for JSON.
const possessionPrefix = "rootceremony proof of possession 1\n"

// possession is the body of the proof of possession.
type possession struct {
	Plan           string         `json:"plan"` // the agreed plan's digest
	Nonce          string         `json:"nonce"`
	Holder         string         `json:"holder"`
	Serial         uint32         `json:"serial"`
	Root           keys.PublicKey `json:"root"`
	Authentication keys.PublicKey `json:"authentication"`
	Age            string         `json:"age"` // recipient, age1tag1...
}

// Possession is the message by whose signature a holder proves that they have
// the root key: prefix, JSON, and spaces up to the size that the canonical
// root is planned to have, so that each token shows that it can sign so much.
func (s *State) Possession(h *Holder, nonce string) ([]byte, error) {
	recipient, err := keys.TokenRecipient(h.Prepared.Age)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(possession{s.Digest, nonce, h.Holder.ID, h.Serial, h.Key.Public, h.Prepared.Authentication, recipient})
	if err != nil {
		return nil, err
	}
	message := append([]byte(possessionPrefix), body...)
	if missing := s.Plan.Budget().Bytes - len(message); missing > 0 {
		message = append(message, bytes.Repeat([]byte{' '}, missing)...)
	}
	return message, nil
}
