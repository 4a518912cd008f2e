// Package backup seals secrets with age, and opens them.
package backup

import (
	"encoding/hex"
	"fmt"

	"filippo.io/age/tag"

	"rootceremony/keys"
)

// TokenRecipient is the age recipient (age1tag1..., C2SP tagged recipients)
// of a P-256 key on a token.
func TokenRecipient(public keys.PublicKey) (string, error) {
	if public.Algorithm != keys.P256 {
		return "", fmt.Errorf("a token's age key is ecdsa-p256, not %s", public.Algorithm)
	}
	if _, err := public.Crypto(); err != nil {
		return "", err
	}
	point, err := hex.DecodeString(public.Hex)
	if err != nil {
		return "", err
	}
	// Compressed, as SEC 1, 2.3.3 has it: the parity of y, then x.
	compressed := append([]byte{2 + point[64]&1}, point[1:33]...)
	recipient, err := tag.NewClassicRecipient(compressed)
	if err != nil {
		return "", err
	}
	return recipient.String(), nil
}
