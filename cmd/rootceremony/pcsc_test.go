package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
	"rootceremony/keys/virtual"
	"rootceremony/keys/yubikey/pcsctest"
)

// withSmartCards builds the program as it is used in the room, with cgo.
var withSmartCards = sync.OnceValues(func() (string, error) {
	name := filepath.Join(bin, "room", "rootceremony")
	out, err := exec.Command("go", "build", "-o", name, "rootceremony/cmd/rootceremony").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s%w (hint: make packages installs what the tests need)", out, err)
	}
	return name, err
})

// inRoom is the program with smart cards, which finds them where pcscd is on
// every machine.
func inRoom(t testing.TB, service *pcsctest.Service, args ...string) *exec.Cmd {
	t.Helper()
	program, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	line := append(append(service.Within(), program), args...)
	return exec.Command(line[0], line[1:]...)
}

// plugFive puts five new tokens into five readers; they chain to one root.
func plugFive(t *testing.T, service *pcsctest.Service, args ...string) (attestationRoot string) {
	t.Helper()
	attestationRoot = filepath.Join(service.Dir, "root.pem")
	for i := range 5 {
		now := filepath.Join(service.Dir, fmt.Sprintf("state-%d.token", i))
		service.Plug(t, i, append([]string{"--state", now, "--touch", "auto", "--attestation-root", attestationRoot}, args...)...)
	}
	return attestationRoot
}

// tokenFile is what a virtual token's file says of its secrets, in hex.
type tokenFile struct {
	Serial     uint32
	PIN        reference `json:"pin"`
	PUK        reference `json:"puk"`
	Management struct {
		Key string `json:"key"`
	} `json:"management"`
	Slots []struct {
		Slot    keys.Slot
		Private string // PKCS #8
	}
}

// reference is a PIN or a PUK.
type reference struct {
	Value      string `json:"value"`
	Tries, Max int
}

// readToken reads a virtual token's file: a line that says what it is, JSON,
// and a checksum.
func readToken(t testing.TB, file string) (token tokenFile) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) < 3 {
		t.Fatalf("%s has %d lines", file, len(lines))
	}
	if err := json.Unmarshal(lines[1], &token); err != nil {
		t.Fatal(err)
	}
	if token.PIN.Max == 0 || token.PUK.Value == "" || token.Management.Key == "" {
		t.Fatalf("%s is not understood: %+v", file, token)
	}
	return token
}

// Five tokens in readers at once, through pcscd, by a script.
func TestCreateOverPCSC(t *testing.T) {
	t.Parallel()
	for name, planned := range map[string][]string{"ed25519": nil, "P-256": {`algorithm = "ed25519"`, `algorithm = "ecdsa-p256"`}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := pcsctest.Start(t, 5)
			root := plugFive(t, service)
			dir := t.TempDir()
			args := []string{"rehearse", "--auto", "--tokens", "pcsc", "--attestation-root", root, filepath.Join(dir, "d")}
			if planned != nil {
				file := examplePlanFile(t, planned...)
				args = append(args, "--plan", file, "--identities", identitiesOf(file))
			}
			out, err := inRoom(t, service, args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			checkPublished(t, filepath.Join(dir, "d"))
		})
	}
}

// examplePlanFile writes the example plan with some texts replaced. Beside it
// are the identities of its recipients.
func examplePlanFile(t *testing.T, replace ...string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := plan.Example()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.NewReplacer(replace...).Replace(string(text)))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, state.PlanFile)
}

// identitiesOf is the folder of the identities that belong to an example plan.
func identitiesOf(planned string) string {
	return filepath.Join(filepath.Dir(planned), filepath.FromSlash(ceremony.IdentitiesDir))
}

// onTokenPlanFile writes an example plan whose keys are made on tokens, and
// which has no backups, with some texts replaced.
func onTokenPlanFile(t *testing.T, replace ...string) string {
	t.Helper()
	file := examplePlanFile(t)
	text, err := os.ReadFile(filepath.FromSlash("../../ceremony/plan/testdata/on-token.toml"))
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, file, strings.NewReplacer(replace...).Replace(string(text)))
	if err := os.RemoveAll(filepath.Join(filepath.Dir(file), "rehearsal")); err != nil {
		t.Fatal(err)
	}
	return file
}

// smallPlanFile is onTokenPlanFile with its first holders alone.
func smallPlanFile(t *testing.T, threshold, holders int) string {
	t.Helper()
	file := onTokenPlanFile(t, "threshold = 3", fmt.Sprintf("threshold = %d", threshold))
	firstHolders(t, file, holders)
	return file
}

// backedUpPlanFile is examplePlanFile with its first holders alone, one of whom
// signs, and other recipients.
func backedUpPlanFile(t *testing.T, holders, quorum int, recipients string) string {
	t.Helper()
	file := examplePlanFile(t, "threshold = 3", "threshold = 1", "quorum = 3", fmt.Sprintf("quorum = %d", quorum), `["holders", "Bank safe"]`, recipients)
	firstHolders(t, file, holders)
	return file
}

// firstHolders leaves only the first holders in a plan.
func firstHolders(t *testing.T, file string, holders int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitAfter(string(text), "[[holder]]\n")
	_, rest, _ := strings.Cut(parts[len(parts)-1], "[[person]]")
	rewrite(t, file, strings.TrimSuffix(strings.Join(parts[:holders+1], ""), "[[holder]]\n")+"[[person]]"+rest)
}

func rewrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// One reader, and five tokens that take turns, by people in plain mode.
func TestTokensTakeTurns(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	root := filepath.Join(service.Dir, "root.pem")
	tokens := map[string]*pcsctest.Token{}
	for _, sticker := range []string{"A-01", "B-02", "C-03", "D-04", "E-05"} {
		tokens[sticker] = service.Plug(t, 0, "--unplugged", "--touch", "auto", "--attestation-root", root,
			"--state", filepath.Join(service.Dir, sticker+".token"))
	}
	r := openRoom(t)
	program, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	r.program, r.env = program, service.Env()
	r.args = []string{"--tokens", "pcsc", "--attestation-root", root}
	r.start()
	inReader := ""
	for {
		question, err := r.prompt()
		if err != nil {
			break
		}
		if _, after, is := strings.Cut(question, "Insert the token "); is {
			sticker := after[:4]
			if inReader != "" && inReader != sticker {
				tokens[inReader].Unplug(t)
			}
			if inReader != sticker {
				tokens[sticker].Replug(t)
			}
			inReader = sticker
		}
		right, _ := r.rightAnswer(question)
		r.answer(right + "\r")
	}
	if status := r.end(); status != 0 {
		t.Fatalf("status %d:\n%s", status, &r.all)
	}
	r.checkEnd()
}

// What one token is asked to do from the command line.
func TestTokenCommand(t *testing.T) {
	service := pcsctest.Start(t, 2)
	service.Plug(t, 0, "--serial", "7654321", "--touch", "auto")
	run := func(input string, args ...string) string {
		t.Helper()
		command := inRoom(t, service, append([]string{"token"}, args...)...)
		command.Stdin = strings.NewReader(input)
		out, err := command.CombinedOutput()
		text := string(out)
		if err != nil {
			text += err.Error()
		}
		return text
	}
	for _, c := range []struct {
		args, input, want string
	}{
		{"list", "", "7 654 321  YubiKey 5"},
		{"info", "", "no keys"},
		{"check", "", "signed 3000 bytes with it, and is as new again"},
		{"info --serial 99", "", "token 99 is not in a reader"},
		{"prepare", "", "left early; nothing was done"},
		{"prepare", "739105\n739106\n739105\n739105\n", "age1tag1"},
		{"check", "", "its PIN is not the default"},
		{"prepare", "739105\n739105\n", "is not as new"},
		{"reset", "1234567\n", "Not accepted"},
		{"reset", "7654321\n", "token 7 654 321 is as new"},
		{"dance", "", "there is no such thing to do"},
	} {
		if got := run(c.input, strings.Fields(c.args)...); !strings.Contains(strings.Join(strings.Fields(got), " "), strings.Join(strings.Fields(c.want), " ")) {
			t.Errorf("token %s: %s, want %q", c.args, got, c.want)
		}
	}
	service.Plug(t, 1, "--serial", "1234567")
	if got := run("", "info"); !strings.Contains(got, "there are 2 tokens") {
		t.Errorf("with two tokens: %s", got)
	}
}

// A real ceremony trusts Yubico's roots only, whatever pretends to be one: such
// a token is refused before anyone types a PIN, and stays as it is.
func TestRunRefusesTokensOfOtherMakers(t *testing.T) {
	service := pcsctest.Start(t, 1)
	file := filepath.Join(service.Dir, "a.token")
	service.Plug(t, 0, "--touch", "auto", "--state", file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(examplePlanFile(t))
	r := openRoom(t)
	program, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	r.program, r.within, r.verb, r.dir = program, service, "run", dir
	r.start()
	refused := false
	for !refused {
		question, err := r.prompt()
		if err != nil {
			t.Fatalf("ended:\n%s", &r.all)
		}
		refused = strings.Contains(strings.Join(strings.Fields(r.all.String()), " "), "cannot show that it was made by a maker whom this ceremony trusts, as tokens of a rehearsal cannot")
		switch {
		case refused:
			r.answer(":quit\r")
		case strings.Contains(question, "PIN"), strings.Contains(question, "sticker"):
			t.Fatalf("asked before it was refused: %s", question)
		case strings.Contains(question, "What now?"):
			r.answer("waive\r")
		case strings.Contains(question, "Why is it safe"):
			r.answer("it is a test\r")
		default:
			right, _ := r.rightAnswer(question)
			r.answer(right + "\r")
		}
	}
	r.end()
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the token was changed: %v", err)
	}
	desk, err := ceremony.LookAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := desk.State()
	if now.Begun.Rehearsal || now.Exceptions == 0 || now.Holders["alice"].Serial != 0 {
		t.Errorf("%+v, %d exceptions, %+v", now.Begun, now.Exceptions, now.Holders["alice"])
	}
}

// newerSeries is the file of a new token whose own certificate is issued by an
// intermediate, as those of Yubico's newer series are, with PEM files of the
// root and of the intermediate beside it.
func newerSeries(t *testing.T) (token, rootFile, intermediateFile string) {
	t.Helper()
	dir := t.TempDir()
	drawer, err := virtual.OpenDrawer(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := drawer.Add("E-05", virtual.Options{}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.token"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`"device_certificate":"([0-9a-f]+)"`).FindSubmatch(text)
	der, err := hex.DecodeString(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	device, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}

	var made [2]*ecdsa.PrivateKey
	for i := range made {
		if made[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	certify := func(name string, parent *x509.Certificate, public any, by *ecdsa.PrivateKey) *x509.Certificate {
		c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: device.NotBefore, NotAfter: device.NotAfter,
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		if parent == nil {
			parent = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, public, by)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		return c
	}
	root := certify("A Root CA of the test", nil, made[0].Public(), made[0])
	intermediate := certify("Yubico PIV Attestation T 1", root, made[1].Public(), made[0])
	device = certify("Yubico PIV Attestation", intermediate, device.PublicKey, made[1])

	lines := bytes.SplitAfter(text, []byte("\n"))
	body := append(lines[0], bytes.Replace(lines[1], found[1], []byte(hex.EncodeToString(device.Raw)), 1)...)
	if err := os.WriteFile(files[0], fmt.Appendf(body, "%x\n", sha256.Sum256(body)), 0o600); err != nil {
		t.Fatal(err)
	}
	rootFile, intermediateFile = filepath.Join(dir, "root.pem"), filepath.Join(dir, "intermediate.pem")
	for file, c := range map[string]*x509.Certificate{rootFile: root, intermediateFile: intermediate} {
		if err := os.WriteFile(file, certificatePEM(c), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files[0], rootFile, intermediateFile
}

// A token of a series that is newer than this program is taken once its
// intermediate is named.
func TestAttestationIntermediates(t *testing.T) {
	t.Parallel()
	token, root, intermediate := newerSeries(t)
	service := pcsctest.Start(t, 1)
	service.Plug(t, 0, "--touch", "auto", "--state", token)
	planned := smallPlanFile(t, 1, 1)
	rehearse := func(dir string, args ...string) (string, error) {
		args = append([]string{"rehearse", "--auto", "--tokens", "pcsc", "--attestation-root", root, "--plan", planned}, append(args, dir)...)
		out, err := inRoom(t, service, args...).CombinedOutput()
		return string(out), err
	}
	if out, err := rehearse(filepath.Join(t.TempDir(), "d")); err == nil || !strings.Contains(out, "name its certificates with --attestation-intermediates") {
		t.Errorf("without the intermediate: %v\n%s", err, out)
	}
	dir := filepath.Join(t.TempDir(), "d")
	if out, err := rehearse(dir, "--attestation-intermediates", intermediate); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkPublished(t, dir)

	// run reads such a file too.
	dir = filepath.Dir(examplePlanFile(t))
	for file, want := range map[string]string{root + ".not": "no such file", token: "PEM"} {
		out, err := inRoom(t, service, "run", "--plain", "--attestation-intermediates", file, dir).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("run with %s: %v\n%s", file, err, out)
		}
	}
}
