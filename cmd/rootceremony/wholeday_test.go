package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// TestNoSecretFromCreateToRevocation holds a ceremony with backups, one of whose
// recipients is a passphrase, restores a key to a fresh token, and revokes the root
// key of a holder, in plain mode. It looks for every PIN, PUK, management key, private
// key and the passphrase in each version of every file below the home folder, which has
// the directories, the media and all XDG folders, in command lines and environments,
// its children's too, and in all that was ever on the terminal. (Memory is for
// TestSecretsStayOnTokens, over pcscd.) What a rehearsal keeps
// in the place of hardware, the tokens and the safe's identity, is apart, and so is
// the PIN where a rehearsal says it.
func TestNoSecretFromCreateToRevocation(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	first, next := filepath.Join(home, "first"), filepath.Join(home, "next")
	env := []string{"HOME=" + home, "TMPDIR=" + filepath.Join(home, "tmp")}
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
	var apart []string
	for _, dir := range []string{first, next} {
		apart = append(apart, filepath.Join(dir, filepath.FromSlash(ceremony.TokensDir)), filepath.Join(dir, filepath.FromSlash(ceremony.IdentitiesDir)))
	}
	written := watchWriting(t, home, apart...)

	processes, sessions, shown := kept{}, 0, []byte(nil)
	day := func(r *room, own ...[2]string) {
		t.Helper()
		r.t, r.env = t, env
		r.start()
		w := &watcher{pid: r.command.Process.Pid, seen: processes, sessions: map[int]bool{}}
		for {
			question, err := r.prompt()
			if err != nil {
				break
			}
			w.look() // while a token is in use, too
			answer, known := "", false
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
		shown = append(shown, shownPIN.ReplaceAll(r.all.Bytes(), nil)...)
	}
	passphrase := [2]string{"Type the passphrase of Board", longPassphrase}
	day(&room{dir: first, args: []string{"--plan", plan, "--identities", identitiesOf(plan)}}, passphrase)
	if err := os.CopyFS(filepath.Join(first, filepath.FromSlash(ceremony.IdentitiesDir)), os.DirFS(identitiesOf(plan))); err != nil { // where it can be read
		t.Fatal(err)
	}
	day(&room{dir: first, verb: "restore"}, passphrase, [2]string{"Whose token is it about?", "alice"}, [2]string{"What has happened to the token", ""},
		[2]string{"What has happened?", "key"}, [2]string{"Go on with it?", "yes"}, [2]string{"the fresh token?", "FRESH-1"})
	day(&room{dir: next, args: []string{"--after", first, "--plan", revocationOfAlice(t, first)}}, [2]string{"How do you know it?", "2"}, [2]string{"Where is its token?", "gone"}, [2]string{"Who saw it", "1"}, [2]string{"Who signs the log?", "farah"})
	seen, _ := written.end(home)
	t.Logf("%d files, %d texts of processes, %d token sessions", len(seen), len(processes), sessions)
	if sessions < 3 || len(processes) < 8 { // command lines and environments of the program, thrice, and of a session
		t.Error("too few processes were seen")
	}
	maps.Copy(seen, processes)
	seen["the terminal"] = shown

	secrets := map[string][]byte{"passphrase": []byte(longPassphrase), "passphrase's beginning": []byte(longPassphrase[:20])}
	for _, dir := range []string{first, next} {
		files, err := filepath.Glob(filepath.Join(dir, ceremony.TokensDir, "*.token"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%d tokens in %s: %v", len(files), dir, err)
		}
		for _, file := range files {
			if len(readToken(t, file).Slots) == 0 {
				continue
			}
			for what, secret := range secretsOf(t, file) {
				secrets[what+" of "+filepath.Base(file)] = secret
			}
		}
	}
	for what, secret := range secrets {
		for form, text := range forms(secret) {
			found := func(all []byte) bool { return bytes.Contains(all, text) }
			if len(text) <= 8 && form == "as it is" { // a few digits are found in digests, too, by chance
				found = regexp.MustCompile(`(^|[^0-9a-fA-F])` + string(text) + `($|[^0-9a-fA-F])`).Match
			}
			for where, all := range seen {
				if found(all) {
					t.Errorf("the %s is in %s, %s", what, where, form)
				}
			}
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
