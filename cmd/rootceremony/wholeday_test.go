package main

import (
	"bytes"
	"fmt"
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
// its children's too, and in all that was ever on the terminal. What a rehearsal keeps
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
	plan := backedUpPlanFile(t, 2, 2, "[\"holders\", \"Bank safe\", \"Board\"]\n\n[[recipient]]\nname = \"Board\"\npassphrase = true")

	seen, shown := kept{}, []byte(nil)
	environments := 0
	day := func(r *room, own ...[2]string) {
		t.Helper()
		r.t, r.env = t, env
		r.start()
		w := watch(r.command.Process.Pid, home)
		for {
			question, err := r.prompt()
			if err != nil {
				break
			}
			answer, known := "", false
			for _, o := range own {
				if !known && strings.Contains(question, o[0]) {
					answer, known = o[1], true
				}
			}
			if !known {
				answer, _ = r.rightAnswer(question)
			}
			r.answer(answer + "\r")
		}
		texts, _ := w.end()
		if status := r.end(); status != 0 {
			t.Fatalf("status %d:\n%s", status, &r.all)
		}
		for where, text := range texts {
			if strings.HasPrefix(where, "environ") {
				environments++
			}
			seen[where] = text
		}
		shown = append(shown, shownPIN.ReplaceAll(r.all.Bytes(), nil)...)
	}
	passphrase := [2]string{"Type the passphrase of Board", longPassphrase}
	day(&room{dir: first, args: []string{"--plan", plan, "--identities", identitiesOf(plan)}}, passphrase)
	day(&room{dir: first, verb: "restore"}, passphrase, [2]string{"Whose token is it about?", "alice"}, [2]string{"What has happened to the token", ""},
		[2]string{"What has happened?", "key"}, [2]string{"Go on with it?", "yes"}, [2]string{"the fresh token?", "FRESH-1"})
	day(&room{dir: next, args: []string{"--after", first, "--plan", revocationOfBruno(t, first)}}, [2]string{"How do you know it?", "1"}, [2]string{"Where is its token?", "1"})
	if environments < 6 {
		t.Errorf("only %d environments were seen", environments)
	}
	seen["the terminal"] = shown

	secrets := map[string][]byte{"passphrase": []byte(longPassphrase), "passphrase's beginning": []byte(longPassphrase[:20])}
	for _, dir := range []string{first, next} {
		files, err := filepath.Glob(filepath.Join(dir, ceremony.TokensDir, "*.token"))
		if err != nil || len(files) < 2 {
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
	t.Logf("%d secrets, %d texts, %d environments", len(secrets), len(seen), environments)
	for what, secret := range secrets {
		for form, text := range forms(secret) {
			found := func(all []byte) bool { return bytes.Contains(all, text) }
			if len(text) <= 8 && form == "as it is" { // a few digits are found in digests, too, by chance
				found = regexp.MustCompile(`(^|[^0-9a-fA-F])` + string(text) + `($|[^0-9a-fA-F])`).Match
			}
			for where, all := range seen {
				if strings.Contains(where, "/"+ceremony.TokensDir+"/") || strings.Contains(where, "/"+ceremony.IdentitiesDir+"/") {
					continue
				}
				if found(all) {
					t.Errorf("the %s is in %s, %s", what, where, form)
				}
			}
		}
	}
}

// revocationOfBruno is a plan after a ceremony of two: Bruno's token was stolen, Alice
// stays, and Farah comes.
func revocationOfBruno(t *testing.T, first string) string {
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
	id := func(holder string) string {
		key, err := tuf.NewKey(now.Holders[holder].Key.Public)
		if err != nil {
			t.Fatal(err)
		}
		return key.ID
	}
	plan := fmt.Sprintf("kind = %q\nname = %q\nreason = \"the token B-02 was stolen\"\ntrusted = %q\n[root]\nexpires = \"365d\"\n"+
		"[[drop]]\nkeyid = %q\nreason = %q\nname = \"Bruno Ferraz\"\ntoken = \"B-02\"\n[[holder]]\nname = \"Alice Costa\"\ntoken = \"FRESH-1\"\nkeyid = %q\n[[holder]]\nname = \"Farah Aziz\"\ntoken = \"F-06\"\n",
		agreed.Revoke, now.Plan.Name, filepath.Join(first, state.PublishDir), id("bruno"), agreed.Stolen, id("alice"))
	file := filepath.Join(t.TempDir(), state.PlanFile)
	rewrite(t, file, plan)
	return file
}
