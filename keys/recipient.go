package keys

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/mlkem"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// RecipientKind is a kind of age recipient.
type RecipientKind string

// The kinds of recipient.
const (
	RecipientX25519      RecipientKind = "age1"
	RecipientHybrid      RecipientKind = "age1pq1"     // ML-KEM-768 with X25519
	RecipientToken       RecipientKind = "age1tag1"    // P-256, on a token (C2SP tagged recipient)
	RecipientHybridToken RecipientKind = "age1tagpq1"  // ML-KEM-768 with P-256, on a token
	RecipientSSH         RecipientKind = "ssh-ed25519" // the same key that logs in with SSH
	RecipientPlugin      RecipientKind = "plugin"      // wrapped by a program age-plugin-NAME
	RecipientPassphrase  RecipientKind = "passphrase"
)

// Recipient is one for whom backups are sealed. Slug stands for them in file
// names; ParseRecipient makes it from the name, and a caller who has a better
// one (a holder's id) sets it.
type Recipient struct {
	Name   string
	Slug   string
	Kind   RecipientKind
	Text   string // as age writes it, without an SSH comment; "passphrase" for a passphrase
	Plugin string // the plugin's name, so that its program is age-plugin-NAME

	key string // equal for two recipients that are the same key; "" for a passphrase
}

// ParseRecipient reads a recipient as a plan has it: text is age1...,
// age1pq1..., age1tag1..., age1tagpq1..., a plugin's age1NAME1..., an SSH
// public key line ssh-ed25519 AAAA..., or the word "passphrase". What it
// accepts is what age reads and encrypts to; of a plugin's recipient, only the
// form is known. Errors name the recipient and never hold the text, which may
// be a secret pasted in the wrong place.
func ParseRecipient(name, text string) (Recipient, error) {
	r := Recipient{Name: name, Slug: slug(name), Text: text}
	if err := r.parse(); err != nil {
		return Recipient{}, fmt.Errorf("recipient %q %w", name, err)
	}
	return r, nil
}

// pluginForm is the name of a plugin, as age has it.
var pluginForm = regexp.MustCompile(`^[a-z0-9+._-]+$`)

// parse fills in what follows from the text. Its errors follow the name.
func (r *Recipient) parse() error {
	if err := misplaced(r.Text); err != nil {
		return err
	}
	switch {
	case r.Text == string(RecipientPassphrase):
		r.Kind = RecipientPassphrase
		return nil
	case strings.HasPrefix(r.Text, "ssh-ed25519 "):
		return r.parseSSH()
	}
	prefix, data, whole := bech32Decode(r.Text)
	r.key = r.Text
	// As with age, the beginning decides: age1tag1x1... is not a plugin's.
	switch {
	case !whole:
	case strings.HasPrefix(r.Text, "age1tag1"):
		r.Kind, r.key = RecipientToken, pointKey(data)
		whole = prefix == "age1tag" && compressedPoint(data)
	case strings.HasPrefix(r.Text, "age1tagpq1"):
		r.Kind = RecipientHybridToken
		pq, point := cutHybrid(data)
		if whole = prefix == "age1tagpq" && pq && validKey(ecdh.P256(), point); whole {
			r.key = pointKey(compress(point))
		}
	case strings.HasPrefix(r.Text, "age1pq1"):
		r.Kind = RecipientHybrid
		pq, point := cutHybrid(data)
		if whole = prefix == "age1pq" && pq && validKey(ecdh.X25519(), point); whole {
			if err := refuseLowOrder(point); err != nil {
				return fmt.Errorf("is a key that cannot be encrypted to: failed to set up HPKE sender: %w", err)
			}
		}
	case prefix == "age":
		r.Kind = RecipientX25519
		if whole = validKey(ecdh.X25519(), data); whole {
			if err := refuseLowOrder(data); err != nil {
				return fmt.Errorf("is a key that cannot be encrypted to: %w", err)
			}
		}
	default:
		r.Kind, r.Plugin = RecipientPlugin, strings.TrimPrefix(prefix, "age1")
		whole = pluginForm.MatchString(r.Plugin)
		// age1yubikey1 and its like hold the same compressed point as
		// age1tag1: two texts, one key.
		if len(data) == 33 && (data[0] == 2 || data[0] == 3) {
			r.key = pointKey(data)
		}
	}
	if !whole {
		return errors.New("is no whole age recipient: characters are missing, added or changed (hint: copy it again, all of it)")
	}
	return nil
}

// misplaced tells what a text is that is no recipient at all.
func misplaced(text string) error {
	upper := strings.ToUpper(text)
	switch {
	case text == "":
		return errors.New("is empty (hint: age1..., ssh-ed25519 AAAA..., or a passphrase)")
	case strings.Contains(upper, "AGE-SECRET-KEY-"), strings.Contains(upper, "AGE-PLUGIN-"), strings.Contains(upper, "PRIVATE KEY"):
		return errors.New("is an identity, which is secret, where the public recipient belongs; it is not shown here (hint: others may have read it with this text: make a new one, and give its recipient, the line age-keygen -y prints)")
	case strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }):
		return errors.New("holds a line break or another character that no recipient has (hint: one recipient, on one line)")
	case strings.HasPrefix(text, "age1"), text == string(RecipientPassphrase), strings.HasPrefix(text, "ssh-ed25519 "):
		if strings.HasPrefix(text, "age1") {
			return ageForm(text)
		}
		return nil
	case strings.HasPrefix(text, "ssh-rsa"):
		return errors.New("is an ssh-rsa key, which is not accepted (hint: an age1 recipient, or an ssh-ed25519 key)")
	case strings.HasPrefix(text, "ssh-"), strings.HasPrefix(text, "ecdsa-"), strings.HasPrefix(text, "sk-"):
		return errors.New("is an SSH key of a kind that age cannot encrypt to (hint: an age1 recipient, or an ssh-ed25519 key, its whole line)")
	case strings.HasPrefix(upper, "AGE1"):
		return errors.New("is in upper case, or has some (hint: age recipients are written in lower case)")
	}
	return errors.New("is no age recipient (hint: age1..., ssh-ed25519 AAAA..., or a passphrase)")
}

// ageForm refuses what no text that begins with age1 may hold.
func ageForm(text string) error {
	switch {
	case strings.ContainsAny(text, " ,;"):
		return errors.New("holds more than one word (hint: one recipient each)")
	case strings.ToLower(text) != text:
		return errors.New("mixes upper and lower case (hint: age recipients are written in lower case)")
	}
	return nil
}

func (r *Recipient) parseSSH() error {
	r.Kind = RecipientSSH
	fields := strings.SplitN(r.Text, " ", 3) // the third is a comment
	blob, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	// 11 and 32 are the lengths of the two strings in it (RFC 8709, 4).
	const head = "\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
	if err != nil || len(blob) != len(head)+32 || string(blob[:len(head)]) != head {
		return errors.New("is no whole ssh-ed25519 key: characters are missing, added or changed (hint: copy the whole line of the .pub file)")
	}
	r.Text = "ssh-ed25519 " + fields[1]
	r.key = r.Text
	point, ok := montgomery(blob[len(head):])
	if !ok {
		return errors.New("is an ssh-ed25519 key that is no point on the curve (hint: copy the whole line of the .pub file)")
	}
	if err := refuseLowOrder(point); err != nil {
		return fmt.Errorf("is a key that cannot be encrypted to: %w", err)
	}
	return nil
}

// cutHybrid reports whether a hybrid key begins with one of ML-KEM-768, and
// returns the rest, which is the curve's.
func cutHybrid(key []byte) (pq bool, point []byte) {
	if len(key) < mlkem.EncapsulationKeySize768 {
		return false, nil
	}
	_, err := mlkem.NewEncapsulationKey768(key[:mlkem.EncapsulationKeySize768])
	return err == nil, key[mlkem.EncapsulationKeySize768:]
}

func validKey(curve ecdh.Curve, key []byte) bool {
	_, err := curve.NewPublicKey(key)
	return err == nil
}

// compressedPoint reports whether data is a point of P-256 in 33 bytes (SEC 1,
// 2.3.4).
func compressedPoint(data []byte) bool {
	if len(data) != 33 {
		return false
	}
	x, _ := elliptic.UnmarshalCompressed(elliptic.P256(), data)
	return x != nil
}

// refuseLowOrder returns ECDH's error for the X25519 keys that make every shared
// secret zero (RFC 7748, 6.1). Any private key shows that, as all of them are
// multiples of 8.
func refuseLowOrder(key []byte) error {
	public, err := ecdh.X25519().NewPublicKey(key)
	if err != nil {
		return err
	}
	private, err := ecdh.X25519().NewPrivateKey(make([]byte, 32))
	if err != nil {
		return err
	}
	_, err = private.ECDH(public)
	return err
}

// The field of edwards25519, and the d of its curve -x²+y² = 1+dx²y² (RFC 8032,
// 5.1), which is -121665/121666.
var (
	prime25519 = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	d25519     = new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), prime25519))
)

// montgomery is the X25519 key of an ed25519 one of 32 bytes: u = (1+y)/(1-y)
// (RFC 7748, 4.1), and 0 for y = 1. It reports false for what isn't a point on
// the curve. Like age, and unlike RFC 8032, 5.1.3, it accepts a y that isn't
// reduced, and a sign where x is zero.
func montgomery(public []byte) ([]byte, bool) {
	encoded := slices.Clone(public)
	slices.Reverse(encoded) // little-endian
	encoded[0] &= 0x7f      // the sign of x
	one, y := big.NewInt(1), new(big.Int).SetBytes(encoded)
	// x² = (y²-1)/(dy²+1) has a root when numerator times denominator has one.
	square := new(big.Int).Mul(y, y)
	numerator := new(big.Int).Sub(square, one)
	denominator := new(big.Int).Mul(square, d25519)
	denominator.Add(denominator, one)
	if big.Jacobi(numerator.Mul(numerator, denominator), prime25519) < 0 {
		return nil, false
	}
	// By Fermat's theorem, which gives zero for zero.
	inverse := new(big.Int).Sub(one, y)
	inverse.Mod(inverse, prime25519).Exp(inverse, new(big.Int).Sub(prime25519, big.NewInt(2)), prime25519)
	u := new(big.Int).Add(one, y)
	u.Mul(u, inverse).Mod(u, prime25519)
	key := u.FillBytes(make([]byte, 32))
	slices.Reverse(key)
	return key, true
}

// compress is an uncompressed point of P-256 in 33 bytes: the parity of y, then
// x (SEC 1, 2.3.3).
func compress(point []byte) []byte { return append([]byte{2 + point[64]&1}, point[1:33]...) }

// pointKey names a compressed P-256 point.
func pointKey(point []byte) string { return "p256 " + hex.EncodeToString(point) }

// TokenRecipient is the age recipient (age1tag1..., C2SP tagged recipients)
// of a P-256 key on a token.
func TokenRecipient(public PublicKey) (string, error) {
	if public.Algorithm != P256 {
		return "", fmt.Errorf("a token's age key is ecdsa-p256, not %s", public.Algorithm)
	}
	if _, err := public.Crypto(); err != nil {
		return "", err
	}
	point, err := hex.DecodeString(public.Hex)
	if err != nil {
		return "", err
	}
	return bech32Encode("age1tag", compress(point)), nil
}

// PostQuantum reports whether a quantum computer would not open this
// recipient's layer. Of a plugin's it is not known, so it does not count.
func (r Recipient) PostQuantum() bool {
	return slices.Contains([]RecipientKind{RecipientHybrid, RecipientHybridToken, RecipientPassphrase}, r.Kind)
}

// sameKey reports whether two recipients are opened by one identity. Whether two
// passphrases are the same isn't known here.
func (r Recipient) sameKey(other Recipient) bool { return r.key != "" && r.key == other.key }

// slugForm is what stands for a person in a file name.
var slugForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// slug is a name as it stands in a file name: ASCII letters in lower case and
// digits, "-" for spaces. It is "" where the name has other letters, as
// leaving those out would make slugs that nobody recognises, and where it is
// longer than 32.
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.Join(strings.Fields(name), " ")) {
		switch {
		case r > '~':
			return ""
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b.WriteRune(r)
		case r == ' ' || r == '-':
			b.WriteByte('-')
		}
	}
	s := strings.Trim(b.String(), "-")
	if !slugForm.MatchString(s) {
		return ""
	}
	return s
}
