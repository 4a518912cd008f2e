package tuf

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"rootceremony/keys"
)

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestNewKey(t *testing.T) {
	for _, m := range []*maker{make25519(1), makeECDSA(elliptic.P256(), 1), makeECDSA(elliptic.P384(), 1)} {
		k := m.key
		canonical := must(cjson.EncodeCanonical(json.RawMessage(k.Object())))
		if sum := sha256.Sum256(canonical); hex.EncodeToString(sum[:]) != k.ID {
			t.Errorf("%s: id %s is not the hash of %s", k.Scheme, k.ID, canonical)
		}
		theirs := must(metadata.KeyFromPublicKey(m.private.Public()))
		// go-tuf writes the scheme of P-256 for every ECDSA key.
		if id := must(theirs.ID()); id != k.ID && k.Public.Algorithm != keys.P384 {
			t.Errorf("%s: go-tuf calls it %s, we %s", k.Scheme, id, k.ID)
		}
		if k.Public != must(keys.FromCrypto(m.private.Public())) {
			t.Errorf("%s: another key came out: %v", k.Scheme, k.Public)
		}
		var again Key
		if err := json.Unmarshal(must(json.Marshal(k)), &again); err != nil || again != k {
			t.Errorf("%s: JSON gives %v, %v", k.Scheme, again, err)
		}
		if file, err := ParseKeyFile(k.Object()); err != nil || file != k {
			t.Errorf("%s: its object as a file: %v", k.Scheme, err)
		}
		spki := must(x509.MarshalPKIXPublicKey(m.private.Public()))
		if file, err := ParseKeyFile([]byte(pemOf("PUBLIC KEY", spki))); err != nil || file != k {
			t.Errorf("%s: its PEM as a file: %v", k.Scheme, err)
		}
	}
	k := make25519(1).key
	for _, s := range []string{k.Public.Hex, "\n " + strings.ToUpper(k.Public.Hex) + "\r\n"} {
		if file, err := ParseKeyFile([]byte(s)); err != nil || file != k {
			t.Errorf("hex %q: %v", s, err)
		}
	}
	for _, bad := range []keys.PublicKey{
		{},
		{Algorithm: keys.Ed25519, Hex: "00"},
		{Algorithm: keys.P256, Hex: "04" + strings.Repeat("11", 64)},
		{Algorithm: keys.Ed25519, Hex: strings.Repeat("0", 64)},
		{Algorithm: "rsa", Hex: "00"},
	} {
		if k, err := NewKey(bad); err == nil {
			t.Errorf("NewKey(%v) = %v", bad, k)
		}
	}
}

func TestParseKeyFileRefuses(t *testing.T) {
	ed := make25519(1).private.(ed25519.PrivateKey)
	p256 := makeECDSA(elliptic.P256(), 1).private.(*ecdsa.PrivateKey)
	x := must(ecdh.X25519().GenerateKey(rand.Reader))
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	certificate := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, p256.Public(), p256))
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	spki := func(public any) string { return pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(public))) }
	root, _, _ := newFile(t)
	pkcs8 := pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ed)))
	for name, c := range map[string]struct{ in, want string }{
		"empty":            {" \n", "empty"},
		"pkcs8":            {pkcs8, "private key"},
		"damaged pkcs8":    {strings.Replace(pkcs8, "M", "?", 1), "private key"},
		"sec1":             {pemOf("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(p256))), "private key"},
		"encrypted":        {pemOf("ENCRYPTED PRIVATE KEY", []byte{1}), "private key"},
		"openssh":          {pemOf("OPENSSH PRIVATE KEY", []byte{1}), "private key"},
		"age identity":     {"AGE-SECRET-KEY-1QQ", "private key"},
		"private object":   {`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"` + make25519(1).key.Public.Hex + `","private":"ab"}}`, "private key"},
		"certificate":      {pemOf("CERTIFICATE", certificate), "certificate"},
		"request":          {pemOf("CERTIFICATE REQUEST", []byte{1}), "certificate request"},
		"pkcs1":            {pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)), `"RSA PUBLIC KEY"`},
		"rsa":              {spki(&rsaKey.PublicKey), "ed25519, or ECDSA"},
		"p521":             {spki(p521.Public()), "P-521"},
		"x25519":           {spki(x.Public()), "ed25519, or ECDSA"},
		"two keys":         {spki(ed.Public()) + spki(ed.Public()), "one key"},
		"damaged":          {"-----BEGIN PUBLIC KEY-----\nabc", "damaged"},
		"not a key inside": {pemOf("PUBLIC KEY", []byte{0x30, 0}), "no readable public key"},
		"short hex":        {"abcd", "4 hex digits"},
		"ssh":              {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA alice", "SSH"},
		"age":              {"age1qqq", "age recipient"},
		"minisign":         {"untrusted comment: x\nRW", "minisign"},
		"der":              {string(must(x509.MarshalPKIXPublicKey(ed.Public()))), "DER"},
		"root":             {string(root), "TUF metadata"},
		"words":            {"hello", "no public key"},
		"broken object":    {`{"keytype":`, "line 1"},
		"huge":             {strings.Repeat("a", MaxSize+1), "too many"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKeyFile([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want %q", k.ID, err, c.want)
			}
			if strings.Contains(c.want, "private") && name != "private object" && !errors.Is(err, ErrPrivate) {
				t.Errorf("not ErrPrivate: %v", err)
			}
		})
	}
}

// The points of small order (RFC 8032, 5.1.7), but for the sign bit of x.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
}

// With a key of small order signatures are made without a private key; this
// proves that each of the listed ones is such a key, and that all are refused.
func TestSmallOrderKeys(t *testing.T) {
	var all []string
	for _, s := range smallOrder {
		all = append(all, s, s[:62]+fmt.Sprintf("%x", unhex(s[62])|8)+s[63:])
	}
	for _, s := range all {
		public := must(hex.DecodeString(s))
		forged := false
		for i := range 200 {
			for _, r := range all {
				sig := append(must(hex.DecodeString(r)), make([]byte, 32)...)
				forged = forged || ed25519.Verify(public, fmt.Append(nil, i), sig)
			}
		}
		if !forged {
			t.Errorf("%s is no point of small order", s)
		}
		if _, err := ParseKeyFile([]byte(s)); err == nil {
			t.Errorf("%s was accepted", s)
		}
	}
	for _, s := range []string{"ed", "ee", "ff"} {
		for _, sign := range []string{"7f", "ff"} {
			key := s + strings.Repeat("f", 60) + sign
			if _, err := ParseKeyFile([]byte(key)); err == nil || !strings.Contains(err.Error(), "canonical") {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
	if reason := make25519(1).key.Public.Weak(); reason != "" {
		t.Error(reason)
	}
}

func TestKeyObjects(t *testing.T) {
	ed := make25519(1).key.Public.Hex
	p256 := makeECDSA(elliptic.P256(), 1)
	point := p256.key.Public.Hex
	pemText := strings.ReplaceAll(pemOf("PUBLIC KEY", must(p256.key.Public.SPKI())), "\n", `\n`)
	rsaPEM := func(bits int) string {
		k := must(rsa.GenerateKey(rand.Reader, bits))
		return strings.ReplaceAll(pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&k.PublicKey))), "\n", `\n`)
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	object := func(keytype, scheme, public string) string {
		return fmt.Sprintf(`{"keytype":%q,"scheme":%q,"keyval":{"public":"%s"}}`, keytype, scheme, public)
	}
	for _, c := range []struct{ in, want string }{
		{object("ed25519", "ed25519", ed), ""},
		{object("ed25519", "ed25519", strings.ToUpper(ed)), ""},
		{object("ecdsa", "ecdsa-sha2-nistp256", pemText), ""},
		{object("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", point), ""},
		{object("ecdsa", "ecdsa-sha2-nistp256", strings.TrimSuffix(pemText, `\n`)), ""},
		{object("rsa", "rsassa-pss-sha256", rsaPEM(2048)), ""},
		{object("ed25519", "ed25519", ed[:62]), "62 characters"},
		{object("ed25519", "ed25519", ed[:63]+"g"), "nothing else"},
		{object("ed25519", "ed448", ed), "no kind"},
		{object("Ed25519", "ed25519", ed), "must be written"},
		{object("ecdsa", "ecdsa-sha2-nistp384", pemText), "ecdsa-p384"},
		{object("ecdsa", "ecdsa-sha2-nistp256", point[2:]), "130 hex digits"},
		{object("ecdsa", "ecdsa-sha2-nistp256", "04"+strings.Repeat("1", 128)), "no point"},
		{object("ecdsa", "ecdsa-sha2-nistp256", strings.Replace(pemText, "M", "!", 1)), "base64"},
		{object("ecdsa", "ecdsa-sha2-nistp256", pemText+"x"), "END PUBLIC KEY"},
		{object("ecdsa", "ecdsa-sha2-nistp256", rsaPEM(2048)), "no public key of ecdsa-p256"},
		{object("rsa", "rsassa-pss-sha256", rsaPEM(1024)), "1024 bits"},
		{object("rsa", "rsassa-pss-sha256", pemText), "keytype says rsa"},
		{object("rsa", "rsassa-pss-sha512", rsaPEM(2048)), "no kind"},
		{`[]`, "must be an object"},
		{`null`, "must be an object, not null"},
		{`{"scheme":"ed25519","keyval":{"public":"` + ed + `"}}`, `lacks "keytype"`},
		{`{"keytype":"ed25519","keyval":{"public":"` + ed + `"}}`, `lacks "scheme"`},
		{`{"keytype":"ed25519","scheme":"ed25519"}`, `lacks "keyval"`},
		{`{"keytype":"ed25519","scheme":"ed25519","keyval":{}}`, `lacks "public"`},
		{`{"keytype":"ed25519","scheme":"ed25519","keyval":null}`, "not null"},
		{`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":null}}`, "not null"},
		{`{"keytype":null,"scheme":"ed25519","keyval":{"public":"` + ed + `"}}`, "not null"},
		{`{"Keytype":"ed25519","scheme":"ed25519","keyval":{"public":"` + ed + `"}}`, `must be written "keytype"`},
		{`{"keytype":"ed25519","scheme":"ed25519","keyval":{"Public":"` + ed + `"}}`, `must be written "public"`},
	} {
		t.Run(fmt.Sprintf("%.60q", c.in), func(t *testing.T) {
			var k Key
			err := k.UnmarshalJSON([]byte(c.in))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%.80s: %v", c.in, err)
			case c.want == "" && string(k.Object()) != c.in:
				t.Errorf("%.80s: the object became %s", c.in, k.Object())
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%.80s: %v, want %q", c.in, err, c.want)
			}
		})
	}
	var a, b, upper, lower Key
	for in, k := range map[string]*Key{
		object("ecdsa", "ecdsa-sha2-nistp256", pemText):             &a,
		object("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", point): &b,
		object("ed25519", "ed25519", strings.ToUpper(ed)):           &upper,
		object("ed25519", "ed25519", ed):                            &lower,
	} {
		if err := k.UnmarshalJSON([]byte(in)); err != nil {
			t.Fatal(err)
		}
	}
	if a.Value() != b.Value() || upper.Value() != lower.Value() || a.Value() == lower.Value() || a.ID == b.ID {
		t.Error("values must be equal across notations, and only there")
	}
}
