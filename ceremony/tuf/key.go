package tuf

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/mldsa"

	"rootceremony/keys"
)

// Key is one public key of a root. Two Keys are == exactly when id and key
// object are the same bytes; whether they are the same key is said by Value.
type Key struct {
	// ID is what roles and signatures call the key: for keys that we write the
	// SHA-256 of the canonical key object, in lower-case hex; for keys that
	// were read, the name under which they stood in the root.
	ID string
	// Public is the key itself, where it is one that a token can hold. It is
	// the zero value for others.
	Public keys.PublicKey
	Type   string // keytype
	Scheme string
	// Unverifiable says why nothing can be verified with the key here: its kind
	// isn't known, or it can't be read. Its signatures count for nothing. It is
	// "" for all other keys.
	Unverifiable string
	// Exposed: the key object holds the private half too, so that everyone who
	// has the root can sign with it.
	Exposed bool

	other  string // where Public is zero: the SubjectPublicKeyInfo in hex, or what stands for the key
	size   int    // bytes of a signature by such a key
	object string // the key object as it stood in the source

	notation Notation
}

// Value names the key itself, whatever its id and its notation: equal exactly
// for equal keys.
func (k Key) Value() string {
	return k.Public.Hex + k.other // one of them is empty; each kind has lengths of its own
}

// Exposed returns the keys, by their values, of which the private half stands in the
// root, under whatever id and in whatever role.
func (r *Root) Exposed() map[string]bool {
	values := map[string]bool{}
	for _, k := range r.Keys {
		if k.Exposed {
			values[k.Value()] = true
		}
	}
	return values
}

// Object is the key object in JSON, as received.
func (k Key) Object() []byte { return []byte(k.object) }

// Extra returns the unknown fields of the key object and, named keyval.x, those
// of its keyval. The old keyid_hash_algorithms is not among them.
func (k Key) Extra() []Field { return k.members(true) }

// members returns the unknown fields of the key object, or else the known ones,
// those of keyval with that before their name.
func (k Key) members(unknown bool) []Field {
	d, err := scan(k.object)
	if err != nil {
		return nil
	}
	var list []Field
	fields := func(object int, prefix string, known ...string) (keyval int) {
		for _, at := range d.names(object) {
			switch name := d.str(at); {
			case name == "keyval" && prefix == "":
				keyval = at + 1
			case slices.Contains(known, name) != unknown:
				list = append(list, Field{prefix + name, d.raw(at + 1)})
			}
		}
		return keyval
	}
	if keyval := fields(0, "", "keytype", "scheme", "keyid_hash_algorithms"); keyval > 0 {
		fields(keyval, "keyval.", "public", "private")
	}
	return list
}

// MarshalJSON returns the key object. The id is not in it.
func (k Key) MarshalJSON() ([]byte, error) {
	if k.object == "" {
		return nil, errors.New("an empty tuf.Key has no JSON")
	}
	return k.Object(), nil
}

// UnmarshalJSON reads a key object. The ID becomes the SHA-256 of its
// canonical form, which old roots do not always use.
func (k *Key) UnmarshalJSON(data []byte) error {
	key, err := parseKeyObject(data)
	if err == nil {
		*k = key
	}
	return err
}

// parseKeyObject reads a key object that stands by itself. Only keys that are
// whole and public get into roots from there.
func parseKeyObject(data []byte) (Key, error) {
	d, perr := scan(string(data))
	if perr != nil {
		return Key{}, perr
	}
	r := reader{document: d}
	key, err := r.key(0, "")
	switch {
	case err != nil:
		return Key{}, err
	case key.Exposed:
		return Key{}, ErrPrivate
	case key.Unverifiable != "":
		return Key{}, errors.New(key.Unverifiable)
	}
	id := r.keyID(0)
	key.ID = string(id[:])
	return key, nil
}

// Notation is what the key objects of a chain hold beside the key: the value of
// keyid_hash_algorithms in JSON, which old tools write there, or "". A client that
// computes every key id with it refuses the whole root over one key without it.
type Notation string

// Notation is how new keys are written in the root that follows: with the
// keyid_hash_algorithms that all keys of this one have. That of a nil root is "".
func (r *Root) Notation() Notation {
	if r == nil {
		return ""
	}
	for i := range r.Keys {
		if r.Keys[i].notation != r.Keys[0].notation {
			return ""
		}
	}
	if len(r.Keys) == 0 {
		return ""
	}
	return r.Keys[0].notation
}

// NewKey returns the key as we write it where a chain has no notation of its own:
// ed25519 in hex, ECDSA as PEM, and nothing in the key object but keytype, scheme
// and keyval.
func NewKey(public keys.PublicKey) (Key, error) { return Notation("").NewKey(public) }

// NewKey returns the key as we write it in roots of such a chain.
func (n Notation) NewKey(public keys.PublicKey) (Key, error) {
	if _, err := public.Crypto(); err != nil {
		return Key{}, err
	}
	value := public.Hex
	keytype, scheme := "ed25519", "ed25519"
	if public.Algorithm != keys.Ed25519 {
		der, err := public.SPKI()
		if err != nil {
			return Key{}, err
		}
		value = strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "\n", `\n`)
		keytype, scheme = "ecdsa", "ecdsa-sha2-nistp256"
		if public.Algorithm == keys.P384 {
			scheme = "ecdsa-sha2-nistp384"
		}
	}
	member := ""
	if n != "" {
		member = `"keyid_hash_algorithms":` + string(n) + ","
	}
	return parseKeyObject(fmt.Appendf(nil, `{%s"keytype":"%s","keyval":{"public":"%s"},"scheme":"%s"}`, member, keytype, value, scheme))
}

// asWritten reports whether the key is one that NewKey makes in this notation.
func (k Key) asWritten(n Notation) bool {
	key, err := n.NewKey(k.Public)
	return err == nil && key.ID == k.ID && canonicalText(key.object) == canonicalText(k.object)
}

// ErrPrivate: a file that should hold a public key holds a private one.
var ErrPrivate = errors.New("this is a private key; only public keys belong in a root, and this one is no longer private where the file has been")

// ParseKeyFile reads a public key from a file: PEM SubjectPublicKeyInfo, an
// ed25519 key as 64 hex digits, or a TUF key object. Everything else is
// refused with a sentence that names what it is; private keys with ErrPrivate.
func ParseKeyFile(data []byte) (Key, error) {
	s := strings.TrimSpace(strings.TrimPrefix(string(data), "\ufeff")) // which some editors put there
	switch {
	case len(data) > MaxSize:
		return Key{}, fmt.Errorf("%d bytes are too many for a public key", len(data))
	case s == "":
		return Key{}, errors.New("the file is empty")
	case strings.HasPrefix(s, "-----BEGIN "):
		return parsePEMFile(s)
	case strings.Contains(s, "\n-----BEGIN "):
		return Key{}, errors.New("text stands before the PEM\nhint: delete the lines before BEGIN")
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		return Key{}, errors.New("hex digits with 0x before them\nhint: take 0x away")
	case strings.HasPrefix(s, "{"):
		if d, err := scan(s); err == nil {
			for _, n := range d.names(0) {
				if name := d.str(n); name == "signed" || name == "_type" {
					return Key{}, errors.New("this is TUF metadata, not a single key object\nhint: give one of the objects under \"keys\"")
				}
			}
		}
		return parseKeyObject([]byte(s))
	case strings.HasPrefix(s, "AGE-SECRET-KEY-"), strings.HasPrefix(s, "AGE-PLUGIN-"):
		return Key{}, fmt.Errorf("age identity: %w", ErrPrivate)
	case strings.HasPrefix(s, "age1"):
		return Key{}, errors.New("this is an age recipient: it encrypts, it cannot sign")
	case strings.HasPrefix(s, "ssh-"), strings.HasPrefix(s, "ecdsa-sha2-"), strings.HasPrefix(s, "sk-"):
		return Key{}, errors.New("this is an SSH public key\nhint: ssh-keygen -e -m PKCS8 -f FILE writes RSA and ECDSA ones as PEM")
	case strings.HasPrefix(s, "untrusted comment:"):
		return Key{}, errors.New("this is a minisign or signify key: it cannot be used in TUF")
	case strings.Trim(s, "0123456789abcdefABCDEF") == "":
		if len(s) != 64 {
			return Key{}, fmt.Errorf("%d hex digits; an ed25519 public key has 64", len(s))
		}
		public := keys.PublicKey{Algorithm: keys.Ed25519, Hex: strings.ToLower(s)}
		return NewKey(public)
	case data[0] == 0x30:
		return Key{}, errors.New("this looks like DER\nhint: openssl pkey -pubin -inform DER -in FILE writes PEM")
	}
	return Key{}, errors.New("this is no public key that is known here\nhint: it may be PEM (\"BEGIN PUBLIC KEY\"), 64 hex digits, or a TUF key object")
}

// parsePEMFile reads one block of PEM, with nothing after it.
func parsePEMFile(s string) (Key, error) {
	block, rest := pem.Decode([]byte(s))
	if block == nil {
		if strings.Contains(s, "PRIVATE KEY-----") {
			return Key{}, ErrPrivate
		}
		return Key{}, errors.New("the PEM text is damaged: it cannot be decoded")
	}
	switch {
	case strings.Contains(block.Type, "PRIVATE KEY"):
		return Key{}, ErrPrivate
	case block.Type == "CERTIFICATE":
		return Key{}, errors.New("this is a certificate, not a bare public key\nhint: openssl x509 -pubkey -noout -in FILE takes the key out of it")
	case block.Type == "CERTIFICATE REQUEST", block.Type == "NEW CERTIFICATE REQUEST":
		return Key{}, errors.New("this is a certificate request, not a bare public key\nhint: openssl req -pubkey -noout -in FILE takes the key out of it")
	case block.Type != "PUBLIC KEY":
		return Key{}, fmt.Errorf("this is PEM of the type %q; the type of a public key is \"PUBLIC KEY\"", clip(block.Type))
	case len(bytes.TrimSpace(rest)) > 0:
		return Key{}, errors.New("something follows the first key; a file holds one key")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Key{}, fmt.Errorf("the PEM text holds no readable public key: %w", err)
	}
	public, err := keys.FromCrypto(parsed)
	if err != nil {
		return Key{}, fmt.Errorf("%w: keys we add are ed25519, or ECDSA on P-256 or P-384", err)
	}
	return NewKey(public)
}

// keyID is the SHA-256 of the canonical form of the key object at i, in hex.
func (r *reader) keyID(i int) (id [64]byte) {
	r.scratch = r.canonical(r.scratch[:0], i)
	sum := sha256.Sum256(r.scratch)
	hex.Encode(id[:], sum[:])
	return id
}

// key reads the key object at i. Without an id (a key by itself) nothing is
// compared to it.
func (r *reader) key(i int, id string) (Key, error) {
	if err := r.want(i, object, "a key"); err != nil {
		return Key{}, err
	}
	var keytype, scheme, keyval = -1, -1, -1
	key := Key{ID: id, object: r.raw(i)}
	at, end := r.inside(i)
	for ; at < end; at = r.after(at + 1) {
		switch name := r.str(at); name {
		case "keytype":
			keytype = at + 1
		case "scheme":
			scheme = at + 1
		case "keyval":
			keyval = at + 1
		case "keyid_hash_algorithms":
			if key.notation = r.notation(at + 1); key.notation == "" {
				r.find(at, "key %s has a keyid_hash_algorithms that isn't a list of names: new keys don't follow it", subject(short(id)))
			}
			r.find(at, "key %s has the old field keyid_hash_algorithms", subject(short(id)))
		default:
			if err := r.unknown(at, "keytype", "scheme", "keyval"); err != nil {
				return Key{}, err
			}
			r.find(at, "key %s has the unknown field %s", subject(short(id)), printable(name))
		}
	}
	if err := r.present(i, "a key", []string{"keytype", "scheme", "keyval"}, keytype, scheme, keyval); err != nil {
		return Key{}, err
	}
	if err := r.want(keytype, text, "keytype"); err != nil {
		return Key{}, err
	}
	if err := r.want(scheme, text, "scheme"); err != nil {
		return Key{}, err
	}
	if err := r.want(keyval, object, "keyval"); err != nil {
		return Key{}, err
	}
	key.Type, key.Scheme = r.str(keytype), r.str(scheme)
	known, err := r.knownKind(key, keytype, scheme)
	if err != nil {
		return Key{}, err
	}
	public, err := r.keyval(&key, keyval, known)
	if err != nil {
		return Key{}, err
	}
	if !known {
		r.unverifiable(&key, keyval, fmt.Sprintf("the kind %s with scheme %s isn't known here", printable(key.Type), printable(key.Scheme)))
		r.find(keytype, "key %s can't be verified here and counts for nothing: %s", subject(short(id)), key.Unverifiable)
		return key, nil
	}
	if err := r.present(keyval, "keyval", []string{"public"}, public); err != nil {
		return Key{}, err
	}
	if err := r.want(public, text, "the public key"); err != nil {
		return Key{}, err
	}
	if err := r.keyValue(&key, keytype, public); err != nil {
		return Key{}, err
	}
	return key, nil
}

// keyval reads the members of a keyval: where the public key stands, or -1, and
// whether a private one stands there too.
func (r *reader) keyval(key *Key, keyval int, known bool) (public int, err error) {
	public = -1
	for at, end := r.inside(keyval); at < end; at = r.after(at + 1) {
		switch name := r.str(at); name {
		case "public":
			public = at + 1
		case "private":
			if !known && r.nodes[at+1].kind != text {
				continue
			}
			if err := r.want(at+1, text, "private"); err != nil {
				return -1, err
			}
			if key.Exposed = r.str(at+1) != ""; key.Exposed {
				r.find(at, "ALARM: THE PRIVATE HALF of key %s stands beside it: everyone who has this file can sign with it, so it counts as compromised", subject(short(key.ID)))
			} else {
				r.find(at, "key %s has the old, empty field private", subject(short(key.ID)))
			}
		default:
			if err := r.unknown(at, "public", "private"); err != nil {
				return -1, err
			}
			if known {
				r.find(at, "the keyval of key %s has the unknown field %s", subject(short(key.ID)), printable(name))
			}
		}
	}
	if !known && !key.Exposed && strings.Contains(r.raw(keyval), "PRIVATE KEY-----") {
		key.Exposed = true
		r.find(keyval, "ALARM: A PRIVATE KEY stands in key %s: everyone who has this file has it, so it counts as compromised", subject(short(key.ID)))
	}
	return public, nil
}

// keyKinds are the kinds of keys that are known here, by keytype and scheme.
var keyKinds = [][2]string{
	{"ed25519", "ed25519"},
	{"ecdsa", "ecdsa-sha2-nistp256"}, {"ecdsa", "ecdsa-sha2-nistp384"},
	{"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"}, {"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"},
	{"rsa", "rsassa-pss-sha256"},
	{"ml-dsa", "ml-dsa-44/1"}, {"ml-dsa", "ml-dsa-65/1"}, {"ml-dsa", "ml-dsa-87/1"},
}

// notation is the value of a keyid_hash_algorithms as new keys can follow it: a short
// list of names. Of anything else it is "".
func (r *reader) notation(i int) Notation {
	if r.nodes[i].kind != array {
		return ""
	}
	var names []string
	for at, end := r.inside(i); at < end; at = r.after(at) {
		if r.nodes[at].kind != text || len(names) == 8 {
			return ""
		}
		name := r.str(at)
		if name == "" || len(name) > 32 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return ""
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	return Notation(`["` + strings.Join(names, `","`) + `"]`)
}

// knownKind reports whether the kind of a key is known here. A name that is a
// known one in another case is refused: some programs take it for the known one.
func (r *reader) knownKind(key Key, keytype, scheme int) (bool, error) {
	for _, kind := range keyKinds {
		if key.Type == kind[0] && key.Scheme == kind[1] {
			return true, nil
		}
	}
	for _, kind := range keyKinds {
		if key.Type == kind[0] && key.Type != "ml-dsa" { // clients go by the keytype, and count such a key
			return false, r.refuse(keytype, "a key with keytype %q and scheme %q is of no kind that is known here", key.Type, key.Scheme)
		}
		if key.Type != kind[0] && strings.EqualFold(key.Type, kind[0]) {
			return false, r.refuse(keytype, "the keytype %q must be written %q", key.Type, kind[0])
		}
		if key.Scheme != kind[1] && strings.EqualFold(key.Scheme, kind[1]) {
			return false, r.refuse(scheme, "the scheme %q must be written %q", key.Scheme, kind[1])
		}
	}
	return false, nil
}

// unverifiable makes a key one that counts for nothing. What tells it from others
// is its keyval as it stands.
func (r *reader) unverifiable(key *Key, keyval int, why string) {
	key.Unverifiable = why
	key.other = fmt.Sprintf("%q %q %s", key.Type, key.Scheme, r.canonical(nil, keyval))
}

// keyValue fills in the key itself, by its type and scheme.
func (r *reader) keyValue(key *Key, keytype, public int) error {
	value := r.str(public)
	switch [2]string{key.Type, key.Scheme} {
	case [2]string{"ed25519", "ed25519"}:
		if len(value) != 64 {
			return r.refuse(public, "an ed25519 public key is 64 hex digits, not %d characters", len(value))
		}
		lower, ok := lowerHex(value)
		if !ok {
			return r.refuse(public, "an ed25519 public key is 64 hex digits, and nothing else")
		}
		if lower != value {
			r.find(public, "key %s is written with capital hex digits", subject(short(key.ID)))
		}
		key.Public = keys.PublicKey{Algorithm: keys.Ed25519, Hex: lower}
		if reason := key.Public.Weak(); reason != "" {
			return r.refuse(public, "the ed25519 public key %s", reason)
		}
		return nil
	case [2]string{"ecdsa", "ecdsa-sha2-nistp256"}, [2]string{"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"}:
		return r.ecdsaValue(key, keys.P256, keytype, public, value)
	case [2]string{"ecdsa", "ecdsa-sha2-nistp384"}, [2]string{"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"}:
		return r.ecdsaValue(key, keys.P384, keytype, public, value)
	case [2]string{"rsa", "rsassa-pss-sha256"}:
		der, err := spki(value)
		if err != nil {
			return r.refuse(public, "%v", err)
		}
		parsed, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			return r.refuse(public, "not a readable RSA public key: %v", err)
		}
		k, ok := parsed.(*rsa.PublicKey)
		if !ok {
			return r.refuse(public, "the keytype says rsa, but the key is of another kind")
		}
		if n := k.N.BitLen(); n < 2048 || n > 8192 {
			return r.refuse(public, "an RSA key of %d bits; only 2048 to 8192 are accepted", n)
		}
		if k.E < 3 || k.E%2 == 0 {
			return r.refuse(public, "an RSA key with the exponent %d; anyone could sign with it, or nobody", k.E)
		}
		if der, err = x509.MarshalPKIXPublicKey(k); err != nil {
			return r.refuse(public, "not a readable RSA public key: %v", err)
		}
		key.other, key.size = hex.EncodeToString(der), k.Size()
		r.find(keytype, "key %s is RSA, which is not a key for our tokens", subject(short(key.ID)))
		return nil
	}
	return r.mldsaValue(key, keytype, public, value)
}

// mldsaValue reads an ML-DSA key (TAP 21: PEM of a SubjectPublicKeyInfo, RFC 9881).
// One that nobody can read counts for nothing.
func (r *reader) mldsaValue(key *Key, keytype, public int, value string) error {
	p := mldsaKinds[key.Scheme]
	der, err := spki(value)
	if err == nil && (len(der) != len(p.spki)+p.parameters.PublicKeySize() || string(der[:len(p.spki)]) != p.spki) {
		err = fmt.Errorf("the PEM text holds no public key of %v", p.parameters)
	}
	if err == nil {
		_, err = mldsa.NewPublicKey(p.parameters, der[len(p.spki):])
	}
	if block, _ := pem.Decode([]byte(value)); err != nil && block != nil && len(block.Bytes) == len(p.spki)+p.parameters.PublicKeySize() && string(block.Bytes[:len(p.spki)]) == p.spki {
		return r.refuse(public, "%v", err) // other programs read it, and count it
	}
	if err != nil {
		key.Unverifiable = fmt.Sprintf("it isn't a readable ML-DSA key: %v", err)
		key.other = fmt.Sprintf("%q %q", key.Scheme, value)
		r.find(public, "key %s can't be verified here and counts for nothing: %s", subject(short(key.ID)), key.Unverifiable)
		return nil
	}
	key.other, key.size = hex.EncodeToString(der), p.parameters.SignatureSize()
	r.find(keytype, "key %s is ML-DSA (TAP 21), which is not a key for our tokens", subject(short(key.ID)))
	return nil
}

// mldsaKinds are the parameter sets of ML-DSA by scheme, with the DER that comes
// before the key in a SubjectPublicKeyInfo (RFC 9881, section 4).
var mldsaKinds = map[string]struct {
	parameters mldsa.Parameters
	spki       string
}{
	"ml-dsa-44/1": {mldsa.MLDSA44(), "\x30\x82\x05\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11\x03\x82\x05\x21\x00"},
	"ml-dsa-65/1": {mldsa.MLDSA65(), "\x30\x82\x07\xb2\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12\x03\x82\x07\xa1\x00"},
	"ml-dsa-87/1": {mldsa.MLDSA87(), "\x30\x82\x0a\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x13\x03\x82\x0a\x21\x00"},
}

// The DER that comes before the point in a SubjectPublicKeyInfo (RFC 5480).
const (
	spkiP256 = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
	spkiP384 = "\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00"
)

// ecdsaValue reads an ECDSA key: PEM, or the uncompressed point in hex as old
// roots have it.
func (r *reader) ecdsaValue(key *Key, algorithm keys.Algorithm, keytype, public int, value string) error {
	size, prefix := 65, spkiP256
	if algorithm == keys.P384 {
		size, prefix = 97, spkiP384
	}
	point := ""
	if lower, ok := lowerHex(value); ok {
		if len(value) != 2*size {
			return r.refuse(public, "an uncompressed point of %s is %d hex digits, not %d", algorithm, 2*size, len(value))
		}
		point = lower
		r.find(public, "key %s is a point in hex, as old roots have it", subject(short(key.ID)))
	} else {
		der, err := spki(value)
		if err != nil {
			return r.refuse(public, "%v", err)
		}
		if len(der) != len(prefix)+size || string(der[:len(prefix)]) != prefix {
			return r.refuse(public, "the PEM text holds no public key of %s with an uncompressed point", algorithm)
		}
		point = hex.EncodeToString(der[len(prefix):])
	}
	key.Public = keys.PublicKey{Algorithm: algorithm, Hex: point}
	if _, err := key.Public.Crypto(); err != nil {
		return r.refuse(public, "the public key is no point of %s", algorithm)
	}
	if key.Type != "ecdsa" {
		r.find(keytype, "key %s has the old keytype %s", subject(short(key.ID)), key.Type)
	}
	return nil
}

// spki returns the DER inside PEM text of the type PUBLIC KEY.
func spki(s string) ([]byte, error) {
	body, ok := strings.CutPrefix(s, "-----BEGIN PUBLIC KEY-----\n")
	if !ok {
		if strings.Contains(s, "PRIVATE KEY-----") {
			return nil, errors.New("the key object holds a private key; only public keys belong in root metadata")
		}
		return nil, errors.New("the public key is neither hex nor PEM text that begins with BEGIN PUBLIC KEY")
	}
	body, ok = strings.CutSuffix(strings.TrimSuffix(body, "\n"), "\n-----END PUBLIC KEY-----")
	if !ok {
		return nil, errors.New("the PEM text does not end with END PUBLIC KEY")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(body)
	if err != nil {
		return nil, errors.New("the PEM text is not base64")
	}
	return der, nil
}

// lowerHex returns s with hex digits in lower case, or false where s is not
// all hex digits.
func lowerHex(s string) (string, bool) {
	capital := false
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f':
		case 'A' <= c && c <= 'F':
			capital = true
		default:
			return "", false
		}
	}
	if capital {
		s = strings.ToLower(s)
	}
	return s, s != ""
}

// signatureSize is how many bytes a signature by the key has, at least and at
// most. For ECDSA it is DER with two integers (RFC 3279, 2.2.3).
func (k Key) signatureSize() (least, most int) {
	switch k.Public.Algorithm {
	case keys.Ed25519:
		return 64, 64
	case keys.P256:
		return 8, 72
	case keys.P384:
		return 8, 104
	}
	return k.size, k.size
}

// between writes a range of numbers.
func between(least, most int) string {
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

// Verify checks a signature over message, by the scheme that the key object
// names.
func (k Key) Verify(message, signature []byte) error {
	switch {
	case k.Unverifiable != "":
		return errors.New(k.Unverifiable)
	case k.Public.Algorithm == keys.Ed25519 && len(signature) != 64:
		return fmt.Errorf("an ed25519 signature has 64 bytes, not %d", len(signature))
	case k.other == "":
		return k.Public.Verify(message, signature)
	}
	der, err := hex.DecodeString(k.other)
	if err != nil {
		return err
	}
	if p, ok := mldsaKinds[k.Scheme]; ok {
		public, err := mldsa.NewPublicKey(p.parameters, der[len(p.spki):])
		if err != nil {
			return err
		}
		if mldsa.Verify(public, MLDSAMessage(message), signature, nil) != nil {
			return keys.ErrSignature
		}
		return nil
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(message)
	if rsa.VerifyPSS(parsed.(*rsa.PublicKey), crypto.SHA256, digest[:], signature, nil) != nil {
		return keys.ErrSignature
	}
	return nil
}

// MLDSAMessage is what an ML-DSA key signs of a canonical root, with an empty
// context: a prefix and the SHA-512 (TAP 21, version 1).
func MLDSAMessage(canonical []byte) []byte {
	digest := sha512.Sum512(canonical)
	return append([]byte("tuf\x01"), digest[:]...)
}
