package audit_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/plan"
)

var update = flag.Bool("update", false, "hold the ceremony of docs/example again, and write its numbers into docs/formats.md")

const (
	formatsFile = "../../docs/formats.md"
	exampleDir  = "../../docs/example"
)

// examplePlan is the plan of the worked example. Its verb is for the age recipient
// of the safe.
const examplePlan = `kind = "create"
name = "Example packages"

[root]
threshold = 2
expires = "365d"
consistent_snapshot = true

[token]
algorithm = "ed25519"
touch = "always"
min_firmware = "5.7.0"

[backup]
quorum = 2
recipients = ["holders", "Bank safe"]

[[recipient]]
name = "Bank safe"
site = "Zurich"
age = "%s"

[[holder]]
name = "Alice Costa"
token = "A-01"
site = "Lisbon"
custody = "on-token"

[[holder]]
name = "Bruno Ferraz"
token = "B-02"
site = "Porto"
custody = "backed-up"

[[person]]
name = "Wanda Meyer"
role = "witness"

[role.timestamp]
threshold = 1
keys = ["keys/timestamp.pub"]

[role.snapshot]
threshold = 1
keys = ["keys/snapshot.pub"]

[role.targets]
threshold = 1
keys = ["keys/targets.pub"]
`

// The worked example is what the document says of it, by the rules that stand
// there, and not by this program's own code; and the program finds it good.
func TestExample(t *testing.T) {
	text, err := os.ReadFile(formatsFile)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		text = holdExample(t, text)
	}
	_, section, there := strings.Cut(string(text), "\n## A worked example\n")
	if !there {
		t.Fatal("the document has no worked example")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	row := regexp.MustCompile("(?m)^(\\| ([^|]+) \\| `)([^`]*)(` \\|.*)$")
	secrets := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		secrets[m[2]] = m[3]
	}
	is := exampleValues(t, secrets["identity of the safe"], secrets["key in 82 of Alice's token, secret"])
	written := row.ReplaceAllStringFunc(section, func(line string) string {
		m := row.FindStringSubmatch(line)
		value, known := is[m[2]]
		if !known {
			t.Errorf("nobody computes %q", m[2])
		}
		delete(is, m[2])
		return m[1] + value + m[4]
	})
	for name, value := range is {
		t.Errorf("the document lacks %q, %s", name, value)
	}
	switch {
	case written == section:
	case *update:
		if err := os.WriteFile(formatsFile, []byte(strings.Replace(string(text), section, written, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the example is, by the rules of the document (hint: go test -run Example -update ./ceremony/audit, and read the difference):\n%s", written)
	}

	root, err := os.ReadFile(filepath.Join(exampleDir, "attestation-root.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(root)
	trusted, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	report := audit.Directory(filepath.Join(exampleDir, "record"), audit.Options{Roots: []*x509.Certificate{trusted}, Rehearsal: true})
	if report.Verdict() != audit.Good {
		t.Errorf("%s\n%s", report.Verdict(), texts(report.Checks))
	}
}

// holdExample makes the record of the example, and writes the secrets that the
// document needs of it into its text.
func holdExample(t *testing.T, text []byte) []byte {
	t.Helper()
	files, err := plan.Example()
	if err != nil {
		t.Fatal(err)
	}
	safe := regexp.MustCompile(`AGE-SECRET-KEY-1\S+`).FindString(string(files[plan.SafeFile]))
	identity, err := age.ParseX25519Identity(safe)
	if err != nil {
		t.Fatal(err)
	}
	r, err := begin(fmt.Sprintf(examplePlan, identity.Recipient()))
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, plan.SafeFile, []byte(safe+"\n"))
	desk, err := r.open(time.Now, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	if err := r.hold(desk, "", nil); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(exampleDir, "record")
	if err := os.RemoveAll(record); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(record, os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(record, "rehearsal")); err != nil {
		t.Fatal(err)
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.roots[0].Raw})
	if err := os.WriteFile(filepath.Join(exampleDir, "attestation-root.pem"), root, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]string{"identity of the safe": safe, "key in 82 of Alice's token, secret": secretOf82(t, r.tokens, "A-01")} {
		row := regexp.MustCompile("(?m)^(\\| " + regexp.QuoteMeta(name) + " \\| `)[^`]*`")
		text = row.ReplaceAll(text, []byte("${1}"+secret+"`"))
	}
	return text
}

// secretOf82 is the secret scalar of the key in 82 of a virtual token, in hex.
func secretOf82(t *testing.T, drawer, sticker string) string {
	t.Helper()
	var secret string
	err := filepath.WalkDir(drawer, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(file, []byte(`"sticker":"`+sticker+`"`)) {
			return err
		}
		var token struct {
			Slots []struct {
				Slot    int
				Private string
			}
		}
		if err := json.Unmarshal(bytes.Split(file, []byte("\n"))[1], &token); err != nil {
			return err
		}
		for _, slot := range token.Slots {
			if slot.Slot != 0x82 {
				continue
			}
			der, err := hex.DecodeString(slot.Private)
			if err != nil {
				return err
			}
			parsed, err := x509.ParsePKCS8PrivateKey(der)
			if err != nil {
				return err
			}
			key, ok := parsed.(interface {
				ECDH() (*ecdh.PrivateKey, error)
			})
			if !ok {
				return fmt.Errorf("%T", parsed)
			}
			private, err := key.ECDH()
			if err != nil {
				return err
			}
			secret = hex.EncodeToString(private.Bytes())
		}
		return nil
	})
	if err != nil || secret == "" {
		t.Fatalf("no key in 82 of %s: %v", sticker, err)
	}
	return secret
}

// exampleLine is a line of the example's log, with its private data.
type exampleLine struct {
	text    string
	Type    string
	Data    map[string]any
	Tree    string
	private string // the private line
}

// merkle is the root hash over lines, as RFC 6962 has it.
func merkle(lines []string) [32]byte {
	switch n := len(lines); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256([]byte("\x00" + lines[0]))
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		left, right := merkle(lines[:k]), merkle(lines[k:])
		return sha256.Sum256([]byte("\x01" + string(left[:]) + string(right[:])))
	}
}

func hexSum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// exampleValues computes what the document says of the example.
func exampleValues(t *testing.T, safe, secret82 string) map[string]string {
	t.Helper()
	is := map[string]string{"identity of the safe": safe, "key in 82 of Alice's token, secret": secret82}
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(exampleDir, "record", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	same := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, and not %v", what, got, want)
		}
	}

	texts := strings.Split(strings.TrimSuffix(string(read("transcript.jsonl")), "\n"), "\n")
	privates := strings.Split(strings.TrimSuffix(string(read("private/transcript.jsonl")), "\n"), "\n")
	first := map[string]*exampleLine{} // of each type; "closing": the newest checkpoint
	lines := make([]exampleLine, len(texts))
	for i, text := range texts {
		l := &lines[i]
		if err := json.Unmarshal([]byte(text), l); err != nil {
			t.Fatal(err)
		}
		l.text = text
		root := merkle(texts[:i])
		same("tree", l.Tree, hex.EncodeToString(root[:]))
		body, sum, _ := strings.Cut(text, `,"sum":`)
		same("sum", sum, `"`+hexSum([]byte(body))+`"}`)
		if commitment, there := l.Data["private"]; there {
			l.private, privates = privates[0], privates[1:]
			same("commitment", commitment, commitmentOf(t, l.private))
		}
		if first[l.Type] == nil {
			first[l.Type] = l
		}
		if l.Type == "checkpoint.signed" {
			first["closing"] = l
		}
	}
	same("private lines that are left", len(privates), 0)

	leaf, second := merkle(texts[:1]), merkle(texts[:2])
	is["leaf of line 1"], is["root hash over lines 1 and 2"] = hex.EncodeToString(leaf[:]), hex.EncodeToString(second[:])
	whole := merkle(texts)
	is["root hash over the whole log"] = hex.EncodeToString(whole[:])
	origin := "rootceremony.invalid/" + hexSum([]byte(texts[0]))[:32]
	is["origin"] = origin

	// The plan.
	public, private := read("plan.resolved.json"), read("private/plan.json")
	is["digest of the plan"] = hexSum(public)
	same("digest in plan.agreed", first["plan.agreed"].Data["digest"], hexSum(public))
	is["salt of the plan"] = strings.Split(string(private), `"`)[3]
	salt, err := hex.DecodeString(is["salt of the plan"])
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, private); err != nil {
		t.Fatal(err)
	}
	rest := strings.Replace(compact.String(), `"salt":"`+is["salt of the plan"]+`",`, "", 1)
	is["commitment of the plan"] = hexSum(append(salt, rest...))
	if !bytes.Contains(public, []byte(`"private": "`+is["commitment of the plan"]+`"`)) {
		t.Error("plan.resolved.json has another commitment")
	}

	// The first checkpoint of Alice, and the possession of her root key.
	prepared, made, proved, signed := first["prepare.done"].Data, first["key.made"].Data, first["key.proved"].Data, first["checkpoint.signed"].Data
	checkpoint := signed["checkpoint"].(map[string]any)
	size := int(checkpoint["size"].(float64))
	root := merkle(texts[:size])
	note := fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))
	same("root of the checkpoint", checkpoint["root"], hex.EncodeToString(root[:]))
	authentication := unhex(t, prepared["authentication"].(map[string]any)["hex"])
	id := sha256.Sum256([]byte(origin + "\n\x01" + string(authentication)))
	is["key id of Alice's checkpoints"] = hex.EncodeToString(id[:4])
	line, err := base64.StdEncoding.DecodeString(signed["signature"].(string))
	if err != nil || !bytes.HasPrefix(line, id[:4]) || !ed25519.Verify(authentication, []byte(note), line[4:]) {
		t.Errorf("the checkpoint of line 1: %v", err)
	}
	is["SHA-256 of the text of her first checkpoint"] = hexSum([]byte(note))

	point := unhex(t, prepared["age"].(map[string]any)["hex"])
	compressed := append([]byte{2 + point[64]&1}, point[1:33]...)
	var file struct{ Message, Signature string }
	evidence := proved["evidence"].([]any)[0].(map[string]any)
	proof := read(evidence["name"].(string))
	if err := json.Unmarshal(proof, &file); err != nil {
		t.Fatal(err)
	}
	same("SHA-256 of the proof's file", evidence["sha256"], hexSum(proof))
	rootKey := made["public"].(map[string]any)["hex"].(string)
	message := fmt.Sprintf("rootceremony proof of possession 1\n"+`{"plan":"%s","nonce":"%s","holder":"alice","serial":%.0f,"root":{"algorithm":"ed25519","hex":"%s"},"authentication":{"algorithm":"ed25519","hex":"%x"},"age":"%s"}`,
		hexSum(public), proved["nonce"], prepared["serial"], rootKey, authentication, bech32(t, compressed))
	bytesOf := int(first["draft.made"].Data["bytes"].(float64))
	message += strings.Repeat(" ", max(0, bytesOf-len(message)))
	same("message of possession", file.Message, message)
	if !ed25519.Verify(unhex(t, rootKey), []byte(message), unhex(t, proved["signature"])) {
		t.Error("the proof of possession is not signed")
	}
	is["age recipient of Alice's token"] = bech32(t, compressed)
	is["SHA-256 of Alice's proof of possession"] = hexSum([]byte(message))

	// The draft, and what was published.
	object := fmt.Sprintf(`{"keytype":"ed25519","keyval":{"public":"%s"},"scheme":"ed25519"}`, rootKey)
	is["id of Alice's root key"] = hexSum([]byte(object))
	published := read("publish/1.root.json")
	is["SHA-256 of publish/1.root.json"] = hexSum(published)
	same("file of root.published", first["root.published"].Data["file"].(map[string]any)["sha256"], hexSum(published))
	var metadata struct {
		Signatures []struct{ KeyID, Sig string }
		Signed     json.RawMessage
	}
	if err := json.Unmarshal(published, &metadata); err != nil {
		t.Fatal(err)
	}
	var canonical bytes.Buffer // whose members are sorted, and whose texts escape nothing, in the file
	if err := json.Compact(&canonical, metadata.Signed); err != nil {
		t.Fatal(err)
	}
	is["digest of the draft"] = hexSum(canonical.Bytes())
	same("digest in draft.made", first["draft.made"].Data["digest"], hexSum(canonical.Bytes()))
	same("bytes in draft.made", bytesOf, canonical.Len())
	found := false
	for _, s := range metadata.Signatures {
		if s.KeyID == is["id of Alice's root key"] {
			found = ed25519.Verify(unhex(t, rootKey), canonical.Bytes(), unhex(t, s.Sig))
		}
	}
	same("Alice's signature over the root", found, true)

	// The backup of Bruno's root key.
	var sealed struct {
		Data struct{ Files []struct{ Name string } }
	}
	for _, l := range lines {
		if l.Type == "backup.stored" && l.Data["what"] == "key" {
			if err := json.Unmarshal([]byte(l.private), &sealed); err != nil {
				t.Fatal(err)
			}
			is["root key in that backup"] = l.Data["public"].(map[string]any)["hex"].(string)
		}
	}
	is["backup of Bruno's root key"] = sealed.Data.Files[0].Name
	identity, err := age.ParseX25519Identity(safe)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := age.Decrypt(bytes.NewReader(read(sealed.Data.Files[0].Name)), identity)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(opened)
	if err != nil {
		t.Fatal(err)
	}
	stanza := strings.Fields(strings.Split(string(layer), "\n")[1])
	same("stanza", strings.Join(stanza[:2], " "), "-> p256tag")
	is["TAG of the layer within"], is["ENC of it"] = stanza[2], stanza[3]
	token := &exampleToken{secret: unhex(t, secret82), point: point}
	opened, err = age.Decrypt(bytes.NewReader(layer), token)
	if err != nil {
		t.Fatal(err)
	}
	key, err := io.ReadAll(opened)
	if err != nil {
		t.Fatal(err)
	}
	is["what the token computes"], is["file key"] = hex.EncodeToString(token.shared), hex.EncodeToString(token.fileKey)
	block, _ := pem.Decode(key)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	same("root key in the backup", hex.EncodeToString(parsed.(ed25519.PrivateKey).Public().(ed25519.PublicKey)), is["root key in that backup"])
	return is
}

// commitmentOf is what a public line has of a private one.
func commitmentOf(t *testing.T, line string) string {
	t.Helper()
	var head struct{ Salt string }
	if err := json.Unmarshal([]byte(line), &head); err != nil {
		t.Fatal(err)
	}
	_, data, _ := strings.Cut(line, `","data":`)
	data, _, _ = strings.Cut(data, `,"sum":`)
	return hexSum(append(unhex(t, head.Salt), data...))
}

func unhex(t *testing.T, text any) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text.(string))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// bech32 is a compressed point as an age1tag1 recipient (BIP 173).
func bech32(t *testing.T, data []byte) string {
	t.Helper()
	const letters, prefix = "qpzry9x8gf2tvdw0s3jn54khce6mua7l", "age1tag"
	var values []byte
	bits, n := uint(0), 0
	for _, b := range data {
		for bits, n = bits<<8|uint(b), n+8; n >= 5; n -= 5 {
			values = append(values, byte(bits>>(n-5))&31)
		}
	}
	if n > 0 {
		values = append(values, byte(bits<<(5-n))&31)
	}
	polymod := uint32(1)
	feed := func(v byte) {
		top := polymod >> 25
		polymod = (polymod&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range []uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				polymod ^= g
			}
		}
	}
	for _, c := range []byte(prefix) {
		feed(c >> 5)
	}
	feed(0)
	for _, c := range []byte(prefix) {
		feed(c & 31)
	}
	for _, v := range append(values, 0, 0, 0, 0, 0, 0) {
		feed(v)
	}
	for i := range 6 {
		values = append(values, byte((polymod^1)>>(5*(5-i)))&31)
	}
	text := prefix + "1"
	for _, v := range values {
		text += letters[v : v+1]
	}
	return text
}

// exampleToken opens a layer with the secret of a token's key in 82.
type exampleToken struct {
	secret, point   []byte
	shared, fileKey []byte
}

func (x *exampleToken) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	const label = "age-encryption.org/p256tag"
	private, err := ecdh.P256().NewPrivateKey(x.secret)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(private.PublicKey().Bytes(), x.point) {
		return nil, errors.New("it is not the secret of the key in 82")
	}
	enc, err := base64.RawStdEncoding.DecodeString(stanzas[0].Args[1])
	if err != nil {
		return nil, err
	}
	peer, err := ecdh.P256().NewPublicKey(enc)
	if err != nil {
		return nil, err
	}
	if x.shared, err = private.ECDH(peer); err != nil {
		return nil, err
	}
	compressed := sha256.Sum256(append([]byte{2 + x.point[64]&1}, x.point[1:33]...))
	tag, err := hkdf.Extract(sha256.New, append(enc[:65:65], compressed[:4]...), []byte(label))
	if err != nil {
		return nil, err
	}
	if got := base64.RawStdEncoding.EncodeToString(tag[:4]); got != stanzas[0].Args[0] {
		return nil, fmt.Errorf("the tag is %s", got)
	}
	key, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		return nil, err
	}
	opener, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(label))
	if err != nil {
		return nil, err
	}
	x.fileKey, err = opener.Open(nil, stanzas[0].Body)
	return x.fileKey, err
}
