package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// TestNoSecretFromCreateToRevocation holds a ceremony with backups, one of whose
// recipients is a passphrase, restores a key to a fresh token, and revokes the root
// key of a holder, in plain mode over pcscd. It looks for every PIN, PUK, management
// key, private key, the passphrase and the safe's identity in each version of every file
// below the home folder, which has the directories, the media and all XDG folders, in
// command lines and environments, its children's too, in all that was ever on the
// terminal, in what pcscd and the tokens write, and in the memory of the program and of
// a session, whenever one lives while people are asked for something.
//
// What a rehearsal keeps in the place of a safe, its identity, is apart.
func TestNoSecretFromCreateToRevocation(t *testing.T) {
	if testing.Short() {
		t.Skip("reads all of a program's memory many times")
	}
	t.Parallel()
	service, hands := emptyReader(t, "A-01", "FRESH-1", "F-06")
	program, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	first, next := filepath.Join(home, "first"), filepath.Join(home, "next")
	env := append(service.Env(), "HOME="+home, "TMPDIR="+filepath.Join(home, "tmp"))
	for _, name := range []string{"XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"} {
		folder := filepath.Join(home, strings.ToLower(name))
		env = append(env, name+"="+folder)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(home, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	plan := passphrasePlanFile(t)
	identities := filepath.FromSlash(ceremony.IdentitiesDir)
	written := watchWriting(t, home, filepath.Join(first, identities), filepath.Join(next, identities))
	identity, err := os.ReadFile(filepath.Join(identitiesOf(plan), "bank-safe.txt"))
	if err != nil {
		t.Fatal(err)
	}
	m := &memories{t: t, tokens: service.Dir,
		pins:  map[string]string{"A-01": "73910582", "FRESH-1": "60482715", "F-06": "91537064"},
		given: map[string][]byte{"passphrase": []byte(longPassphrase[:20]), "identity": bytes.TrimSpace(identity[bytes.Index(identity, []byte("AGE-SECRET-KEY-1")):])},
	}

	processes, sessions, shown := kept{}, 0, []byte(nil)
	day := func(r *room, own ...[2]string) {
		t.Helper()
		r.t, r.program, r.env, r.touches = t, program, env, true
		r.args = append(r.args, "--attestation-root", filepath.Join(service.Dir, "root.pem"))
		r.start()
		w := &watcher{pid: r.command.Process.Pid, seen: processes, sessions: map[int]bool{}}
		for {
			question, err := r.prompt()
			if err != nil {
				break
			}
			w.look() // while a token is in use, too
			touch := readTouch.FindStringSubmatch(question)
			if touch != nil {
				end := time.Now().Add(2 * time.Minute)
				for token := hands.tokens[touch[1]]; !strings.Contains(token.Do(t, "status"), "waits for a touch"); time.Sleep(5 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("token %s never waits for a touch", touch[1])
					}
				}
			}
			if alive := sessionsOf(t, r.command.Process.Pid); len(alive) > 0 {
				m.look(question, r.command.Process.Pid, alive, hands.inReader)
			}
			hands.do(question)
			if touch != nil {
				r.answer("")
				continue
			}
			answer, known := m.pins[hands.inReader], strings.Contains(question, "PIN")
			for _, o := range own {
				if !known && strings.Contains(question, o[0]) {
					answer, known = o[1], true
				}
			}
			if !known || answer == "farah" {
				if right, row := r.rightAnswer(question); !known || row < 0 { // nobody else signs the log
					answer = right
				}
			}
			r.answer(answer + "\r")
		}
		if status := r.end(); status != 0 {
			t.Fatalf("status %d:\n%s", status, &r.all)
		}
		sessions += len(w.sessions)
		shown = append(shown, r.all.Bytes()...)
	}
	passphrase := [2]string{"Type the passphrase of Board", longPassphrase}
	day(&room{dir: first, args: []string{"--tokens", "pcsc", "--plan", plan, "--identities", identitiesOf(plan)}}, passphrase)
	if err := os.CopyFS(filepath.Join(first, identities), os.DirFS(identitiesOf(plan))); err != nil { // where it can be read
		t.Fatal(err)
	}
	day(&room{dir: first, verb: "restore"}, passphrase, [2]string{"Whose token is it about?", "alice"}, [2]string{"What has happened to the token", ""},
		[2]string{"What has happened?", "key"}, [2]string{"Go on with it?", "yes"}, [2]string{"the fresh token?", "FRESH-1"})
	day(&room{dir: next, args: []string{"--tokens", "pcsc", "--after", first, "--plan", revocationOfAlice(t, first)}}, [2]string{"How do you know it?", "2"}, [2]string{"Where is its token?", "gone"}, [2]string{"Who saw it", "1"}, [2]string{"Who signs the log?", "farah"})
	seen, _ := written.end(home)
	t.Logf("%d files, %d texts of processes, %d token sessions, looked %d times into memories", len(seen), len(processes), sessions, m.times)
	if sessions < 3 || len(processes) < 8 { // command lines and environments of the program, thrice, and of a session
		t.Error("too few processes were seen")
	}
	for question, belongs := range map[string][]string{
		"touch the token A-01 now":     {"PIN of A-01 in the program", "PIN of A-01 in a session", "PUK of A-01 in a session", "management key of A-01 in a session", "key in 9c of A-01 in a session"}, // made and sealed
		"Type the passphrase of Board": {"key in 9c of A-01 in a session"},                                                                                                                              // from its backup
		"touch the token FRESH-1 now":  {"PIN of FRESH-1 in a session"},
		"touch the token F-06 now":     {"PIN of F-06 in a session"},
	} {
		for _, what := range belongs {
			if !slices.ContainsFunc(m.locked, func(seen string) bool { return strings.Contains(seen, question) && strings.HasSuffix(seen, what) }) {
				t.Errorf("%q: not seen where it belongs: the %s, in locked memory", question, what)
			}
		}
	}
	maps.Copy(seen, processes)
	seen["the terminal"] = shown
	logs, err := filepath.Glob(filepath.Join(service.Dir, "*.log"))
	if err != nil || len(logs) != 4 {
		t.Fatalf("logs: %v, %v", logs, err)
	}
	for _, name := range logs {
		if seen[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	secrets := m.secrets()
	if len(secrets) != 3*6+2 {
		t.Errorf("%d secrets", len(secrets))
	}
	for where, all := range seen {
		each([]area{{bytes: all}}, inAllForms(secrets), func(what string, _ area, at int) {
			digit := func(i int) bool {
				return i >= 0 && i < len(all) && strings.IndexByte("0123456789abcdefABCDEF", all[i]) >= 0
			}
			if (strings.HasPrefix(what, "PIN") || strings.HasPrefix(what, "PUK")) && strings.HasSuffix(what, ", as it is") && (digit(at-1) || digit(at+8)) { // in digests, too, by chance
				return
			}
			t.Errorf("the %s, is in %s", what, where)
		})
	}
}

// memories are those of a program and of its sessions, while people are asked for
// something.
type memories struct {
	t      *testing.T
	tokens string            // the folder of their files
	pins   map[string]string // by sticker
	given  map[string][]byte // what else is typed, or read from a file

	times  int
	locked []string // what was found in locked memory: at which question, what, and in which process
}

// secrets are all that there are by now.
func (m *memories) secrets() map[string][]byte {
	all := maps.Clone(m.given)
	for sticker, pin := range m.pins {
		all["PIN of "+sticker] = []byte(pin)
		if file := filepath.Join(m.tokens, sticker+".token"); len(readToken(m.t, file).Slots) == 3 {
			for what, secret := range secretsOf(m.t, file) {
				all[what+" of "+sticker] = secret
			}
		}
	}
	return all
}

// look looks for secrets in the memory of a program and of its living sessions. In
// locked memory the program has what was typed, and a session what it was given or has
// made; the keys in 9a and 82 never leave their token. A session that waits for a touch
// has two copies of the PIN besides, which its libraries hold until the token answers.
func (m *memories) look(question string, program int, sessions []int, inReader string) {
	secrets := m.secrets()
	texts := inAllForms(secrets)
	for _, pid := range append(sessions, program) {
		m.times++
		who := "a session"
		if pid == program {
			who = "the program"
		}
		pins := 0
		each(memory(m.t, pid), texts, func(what string, a area, at int) {
			secret, _, _ := strings.Cut(what, ", ")
			typed := m.given[secret] != nil || strings.HasPrefix(secret, "PIN")
			switch {
			case a.locked && (typed || pid != program && !strings.HasPrefix(secret, "key in 9a") && !strings.HasPrefix(secret, "key in 82")):
				m.locked = append(m.locked, question+secret+" in "+who)
			case pid != program && what == "PIN of "+inReader+", as it is" && readTouch.MatchString(question):
				pins++
			default:
				m.t.Errorf("%q: the %s, is in the memory of %s at %x (locked: %t)", question, what, who, a.from+uint64(at), a.locked)
			}
		})
		if pins > 2 {
			m.t.Errorf("%q: the PIN of %s is %d times in the memory of a session", question, inReader, pins)
		}
	}
}

// revocationOfAlice is a plan after a ceremony of hers alone: her PIN was seen, and
// Farah comes in her place.
func revocationOfAlice(t *testing.T, first string) string {
	t.Helper()
	public, private, err := transcript.ReadFiles(first)
	if err != nil {
		t.Fatal(err)
	}
	read, err := transcript.Read(public, private)
	if err != nil {
		t.Fatal(err)
	}
	now, err := state.Fold(read.Events)
	if err != nil {
		t.Fatal(err)
	}
	key, err := tuf.NewKey(now.Holders["alice"].Key.Public)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), state.PlanFile)
	rewrite(t, file, fmt.Sprintf("kind = %q\nname = %q\nreason = \"the PIN of FRESH-1 was seen\"\ntrusted = %q\n[root]\nexpires = \"365d\"\n"+
		"[[drop]]\nkeyid = %q\nreason = %q\nname = \"Alice Costa\"\ntoken = \"FRESH-1\"\n[[holder]]\nname = \"Farah Aziz\"\ntoken = \"F-06\"\n",
		agreed.Revoke, now.Plan.Name, filepath.Join(first, state.PublishDir), key.ID, agreed.Compromised))
	return file
}
