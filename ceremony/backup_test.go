package ceremony_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"rootceremony/ceremony"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/backup"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// safesPlan is a plan with backups for that many safes of the kind X25519, and
// no holders among the recipients.
func safesPlan(t testing.TB, quorum, safes int, edit ...string) (plan string, identities map[string]age.Identity, files map[string]string) {
	t.Helper()
	text, err := os.ReadFile("plan/testdata/on-token.toml")
	if err != nil {
		t.Fatal(err)
	}
	identities, files = map[string]age.Identity{}, map[string]string{}
	var names, tables []string
	for n := range safes {
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("safe-", n+1)
		names = append(names, fmt.Sprintf(`"Safe %d"`, n+1))
		tables = append(tables, fmt.Sprintf("[[recipient]]\nname = \"Safe %d\"\nage = %q\n\n", n+1, identity.Recipient()))
		identities[id], files[id] = identity, identity.String()+"\n"
	}
	all := append([]string{"quorum = 0                      # no backups\n",
		fmt.Sprintf("quorum = %d\nrecipients = [%s]\n\n%s", quorum, strings.Join(names, ", "), strings.Join(tables, "")),
		`custody = "on-token"`, `custody = "backed-up"`}, edit...)
	plan = string(text)
	for pair := range slices.Chunk(all, 2) {
		if !strings.Contains(plan, pair[0]) {
			t.Fatalf("the plan has no %q", pair[0])
		}
		plan = strings.ReplaceAll(plan, pair[0], pair[1])
	}
	return plan, identities, files
}

// keep leaves the first holders of a plan, 1 or 2, one of whom signs.
func keep(plan string, holders int) string {
	next := []string{"Bruno", "Chen"}[holders-1]
	begin := strings.Index(plan, "[[holder]]\nname = \""+next)
	return strings.Replace(plan[:begin]+plan[strings.Index(plan, "[[person]]"):], "threshold = 3", "threshold = 1", 1)
}

// newSafes is a stage with safesPlan.
func newSafes(t testing.TB, quorum, safes int, edit ...string) *stage {
	t.Helper()
	plan, identities, files := safesPlan(t, quorum, safes, edit...)
	return newStageOf(t, plan).withSafes(identities, files)
}

// newAlone has Alice as the only holder, and 1 of 2 safes.
func newAlone(t testing.TB, edit ...string) *stage {
	t.Helper()
	plan, identities, files := safesPlan(t, 1, 2, edit...)
	return newStageOf(t, keep(plan, 1)).withSafes(identities, files)
}

// newPair has Alice and Bruno. The other one and two safes open a backup, a
// quorum of those together.
func newPair(t testing.TB, quorum int) *stage {
	t.Helper()
	plan, identities, files := safesPlan(t, quorum, 2, `recipients = [`, `recipients = ["holders", `)
	return newStageOf(t, keep(plan, 2)).withSafes(identities, files)
}

func (s *stage) withSafes(identities map[string]age.Identity, files map[string]string) *stage {
	s.t.Helper()
	s.safes = identities
	for id, text := range files {
		if err := disk.WriteWithin(s.dir, ceremony.IdentitiesDir+"/"+id+".txt", []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return s
}

func (s *stage) identityFile(id string) string {
	return filepath.Join(s.dir, filepath.FromSlash(ceremony.IdentitiesDir), id+".txt")
}

// runTasks takes tasks one after the other.
func runTasks(t testing.TB, desk *ceremony.Desk, a prompt.Room, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := desk.Run(t.Context(), id, a); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
}

// state of a virtual token, as only its file has it.
type tokenSecrets struct {
	puk        string
	management string // hex
	root       *keys.SlotKey
	age        keys.PublicKey
}

func (s *stage) tokenSecrets(sticker string) tokenSecrets {
	s.t.Helper()
	serial, err := s.drawer.Serial(sticker)
	if err != nil {
		s.t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(s.tokens(), fmt.Sprintf("%d.token", serial)))
	if err != nil {
		s.t.Fatal(err)
	}
	var now struct {
		PUK struct {
			Value string `json:"value"`
		} `json:"puk"`
		Management struct {
			Key string `json:"key"`
		} `json:"management"`
	}
	if err := json.Unmarshal(bytes.Split(file, []byte("\n"))[1], &now); err != nil {
		s.t.Fatal(err)
	}
	puk, err := hex.DecodeString(now.PUK.Value)
	if err != nil {
		s.t.Fatal(err)
	}
	token := s.openToken(sticker)
	defer token.Close()
	info, err := token.Info()
	if err != nil {
		s.t.Fatal(err)
	}
	found := tokenSecrets{puk: string(bytes.TrimRight(puk, "\xff")), management: now.Management.Key}
	if key, ok := info.Key(keys.SlotRoot); ok {
		found.root = &key
	}
	if key, ok := info.Key(keys.SlotAge); ok {
		found.age = key.Public
	}
	return found
}

// tokenIdentity opens layers by a holder's virtual token, without the program.
func (s *stage) tokenIdentity(sticker, pin string) age.Identity {
	s.t.Helper()
	identity, err := backup.TokenIdentity(s.tokenSecrets(sticker).age, func(peer []byte) (*secret.Buffer, error) {
		token := s.openToken(sticker)
		defer token.Close()
		return token.ECDH(keys.SlotAge, newSecret(s.t, pin), peer, func() { token.(session.Touchable).Touched() })
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return identity
}

// open opens a backup file as people with the identities would, without the
// program, and returns the secret.
func (s *stage) openFile(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(name)))
	if err != nil {
		s.t.Fatal(err)
	}
	layers, err := keys.Layers(path.Base(name))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range layers {
		if l.Inner > 0 {
			if data, err = backup.Layer(l).Peel(data, s.safes[l.Who]); err != nil {
				s.t.Fatalf("%s, layer of %s: %v", name, l.Who, err)
			}
			continue
		}
		text, err := backup.Layer(l).Open(data, s.safes[l.Who])
		if err != nil {
			s.t.Fatalf("%s, layer of %s: %v", name, l.Who, err)
		}
		data = bytes.Clone(text.Bytes())
		text.Wipe()
	}
	return string(data)
}

// publicOf is the public half of a root key in PEM.
func publicOf(t testing.TB, text string) keys.PublicKey {
	t.Helper()
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(rest) > 0 {
		t.Fatal("no key in PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.FromCrypto(private.(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// linesOf are PUK and management key of a token's backup, with its serial.
func linesOf(t testing.TB, text string) (serial uint32, puk, management string) {
	t.Helper()
	if n, err := fmt.Sscanf(text, "serial: %d\npuk: %s\nmanagement key (AES-256): %s\n", &serial, &puk, &management); n != 3 || err != nil {
		t.Fatalf("%d of 3 lines: %v", n, err)
	}
	return serial, puk, management
}

// backups are all backups that the log says are stored.
func (s *stage) backups() []state.BackupStored {
	s.t.Helper()
	var all []state.BackupStored
	for _, e := range events(s.t, s.dir) {
		if e.Type != state.TypeBackupStored {
			continue
		}
		var b state.BackupStored
		if err := state.Read(e, &b); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

var makeAge = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "stock-age-")
	if err != nil {
		return "", err
	}
	stockAge = dir
	out, err := exec.Command("go", "build", "-o", dir, "filippo.io/age/cmd/age", "rootceremony/keys/backup/testdata/age-plugin-rctest").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return dir, err
})

var stockAge string // the folder, to be removed

// peel opens the layers of a file with an age command, as people would.
func (s *stage) peel(program, name string) []byte {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(name)))
	if err != nil {
		s.t.Fatal(err)
	}
	layers, err := keys.Layers(path.Base(name))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range layers {
		cmd := exec.Command(program, "-d", "-i", s.identityFile(l.Who))
		var out, said bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(data), &out, &said
		if err := cmd.Run(); err != nil {
			s.t.Fatalf("%s, layer of %s: %v: %s", name, l.Who, err, &said)
		}
		data = out.Bytes()
	}
	return data
}

func opensslPublic(t testing.TB, text []byte) keys.PublicKey {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed (hint: make packages)")
	}
	cmd := exec.Command(program, "pkey", "-pubout", "-outform", "DER")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl pkey: %v", err)
	}
	public, err := x509.ParsePKIXPublicKey(out)
	if err != nil {
		t.Fatal(err)
	}
	read, err := keys.FromCrypto(public)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// A 3-of-5 ceremony with backups for any 3 of 5 safes comes to its end, and
// every file of it is opened with age's own commands from identities on disk:
// the keys are those of the root, and the PUKs are the tokens'.
func TestBackedUpCeremony(t *testing.T) {
	s, desk := newSafes(t, 3, 5).opened()
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	now := checkSigned(t, s.dir, 5)
	dir, err := makeAge()
	if err != nil {
		t.Fatal(err)
	}
	programs := []string{filepath.Join(dir, "age")}
	if _, err := os.Stat("/usr/bin/age"); err == nil {
		programs = append(programs, "/usr/bin/age")
	}
	seen := map[string]bool{}
	for i, b := range s.backups() {
		h := now.Holders[b.Holder]
		if len(b.Files) != 10 || h.Key == nil || !h.Key.Imported || !h.Key.PUKKept || h.Key.FoundOnLook {
			t.Fatalf("%s: %d files, %+v", b.Holder, len(b.Files), h.Key)
		}
		for n, f := range b.Files {
			seen[f.Name] = true
			text := s.peel(programs[(n+i)%len(programs)], f.Name)
			if b.What == keys.BackupKey {
				if public := publicOf(t, string(text)); public != h.Key.Public || !slices.ContainsFunc(now.Root.Keys, func(k tuf.Key) bool { return k.Public == public }) {
					t.Errorf("%s holds %v, which is not the key of %s", f.Name, public, b.Holder)
				}
				if n == i%len(b.Files) && opensslPublic(t, text) != h.Key.Public {
					t.Errorf("%s: openssl reads another key", f.Name)
				}
				continue
			}
			serial, puk, management := linesOf(t, string(text))
			if there := s.tokenSecrets(h.Holder.Token); serial != h.Serial || puk != there.puk || management != there.management {
				t.Errorf("%s is not of the token of %s", f.Name, b.Holder)
			}
		}
	}
	if len(seen) != 5*2*10 {
		t.Errorf("%d files", len(seen))
	}
	if left := allFiles(t, filepath.Join(s.dir, "private", "backups")); len(left) != len(seen) {
		t.Errorf("%d files of backups, and %d are known", len(left), len(seen))
	}
	// The PUK of a backup sets a new PIN.
	s.block("A-01")
	for _, b := range s.backups() {
		if b.Holder != "alice" || b.What != keys.BackupToken {
			continue
		}
		_, puk, _ := linesOf(t, s.openFile(b.Files[0].Name))
		token := s.openToken("A-01")
		defer token.Close()
		if err := errors.Join(token.Unblock(newSecret(t, puk), newSecret(t, newPIN)), token.VerifyPIN(newSecret(t, newPIN))); err != nil {
			t.Error(err)
		}
	}
	s.noSecrets(t)
}

func allFiles(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// noSecrets looks for what is sealed in all other files of the ceremony: raw, in
// hex, in base64.
func (s *stage) noSecrets(t testing.TB, more ...string) {
	t.Helper()
	var forms [][]byte
	add := func(raw []byte) {
		sum := hex.EncodeToString(raw)
		forms = append(forms, raw, []byte(sum), []byte(strings.ToUpper(sum)))
		// Within a longer text base64 has one of three forms, but for the ends.
		for shift := range 3 {
			text := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), raw...))
			forms = append(forms, []byte(text[shift+1:len(text)-1]))
		}
	}
	for _, b := range s.backups() {
		text := s.openFile(b.Files[0].Name)
		if b.What == keys.BackupKey {
			block, _ := pem.Decode([]byte(text))
			add(block.Bytes[len(block.Bytes)-32:])
			continue
		}
		_, puk, management := linesOf(t, text)
		raw, err := hex.DecodeString(management)
		if err != nil {
			t.Fatal(err)
		}
		add(raw)
		add([]byte(puk))
	}
	for _, text := range more {
		add([]byte(text))
	}
	if len(forms) < 20 {
		t.Fatalf("%d forms of secrets", len(forms))
	}
	files := 0
	for _, name := range allFiles(t, s.dir) {
		within, err := filepath.Rel(s.dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(filepath.ToSlash(within), ceremony.TokensDir+"/") {
			continue
		}
		files++
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range forms {
			if bytes.Contains(text, form) {
				t.Errorf("%s holds a secret", within)
			}
		}
	}
	if files < 20 {
		t.Errorf("%d files were looked at", files)
	}
}

// The example, with holders among the recipients: its backups are opened by the
// holders' tokens, in any order of tasks.
func TestExampleCeremony(t *testing.T) {
	s, desk := newStageOf(t, "").opened()
	for _, id := range []string{"preflight", "agree", "enrol emil", "enrol chen", "recipient bank-safe", "enrol alice", "enrol dana", "enrol bruno",
		"key dana", "key alice", "key emil", "key bruno", "key chen", "copies", "drill", "review", "sign dana", "sign bruno", "sign emil", "publish", "seal", "checkpoints", "sums", "carry"} {
		for _, task := range desk.Tasks() {
			if task.State != prompt.Blocked {
				continue
			}
			if err := desk.Run(t.Context(), task.ID, &prompt.Script{}); err == nil || !strings.Contains(err.Error(), task.Reason) {
				t.Errorf("before %s: blocked task %s: %v", id, task.ID, err)
			}
		}
		if err := desk.Run(t.Context(), id, &prompt.Script{}); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	now := checkSigned(t, s.dir, 3)
	s.safes = map[string]age.Identity{}
	identity, err := os.ReadFile(s.identityFile("bank-safe"))
	if err != nil {
		t.Fatal(err)
	}
	safe, err := age.ParseIdentities(bytes.NewReader(identity))
	if err != nil {
		t.Fatal(err)
	}
	s.safes["bank-safe"] = safe[0]
	for id, h := range now.Holders {
		s.safes[id] = s.tokenIdentity(h.Holder.Token, scriptPIN(t, id))
	}
	for _, b := range s.backups() {
		h := now.Holders[b.Holder]
		if slices.Contains(b.Recipients, b.Holder) || len(b.Recipients) != 5 || len(b.Files) != 10 {
			t.Errorf("%s: for %v, %d files", b.Holder, b.Recipients, len(b.Files))
		}
		text := s.openFile(b.Files[len(b.Files)-1].Name)
		if b.What == keys.BackupKey && publicOf(t, text) != h.Key.Public {
			t.Errorf("%s: another key", b.Holder)
		}
	}
	s.noSecrets(t)
}

// scriptPIN is the PIN that a holder has in automatic rehearsals.
func scriptPIN(t testing.TB, id string) string {
	t.Helper()
	pin, err := (&prompt.Script{}).AskSecret(t.Context(), prompt.Prompt{ID: "holder.pin " + id}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pin.Wipe()
	return string(pin.Bytes())
}
