package ceremony_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/transcript"
)

// retireSaid takes the task that retires a dropped key, and returns all that
// people are told in it.
func retireSaid(t *testing.T, desk *ceremony.Desk, old string, answers map[string]string) []string {
	t.Helper()
	var said []string
	a := &prompt.Script{Answers: answers, Say: func(m prompt.Message) { said = append(said, m.Text...) }}
	if err := desk.Run(t.Context(), "retire "+old, a); err != nil {
		t.Fatal(err)
	}
	return said
}

// sentences are the texts with a word in them, once each.
func sentences(said []string, word string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.DeleteFunc(slices.Clone(said), func(s string) bool { return !strings.Contains(s, word) }))))
}

// foldersIn are the folders of backups that a text names.
func foldersIn(text string) []string {
	return slices.Sorted(slices.Values(regexp.MustCompile(`private/backups/[a-z0-9/-]*`).FindAllString(text, -1)))
}

// attemptFolder is the one folder of a holder's backups in a ceremony's folder.
func attemptFolder(t *testing.T, dir, holder string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "private/backups", holder, "*"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return strings.TrimPrefix(found[0], dir+"/") + "/"
}

// Anyone who is dropped: the backups that are to be destroyed are those of that key
// alone, with all their files; those of the keys that stay are said to stay; and
// it is said before a token is reset how many are left then who open them.
func TestRetireNamesTheBackupsOfOneKey(t *testing.T) {
	whole, desk := withBackups(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	desk.Close()
	holders := desk.State().Plan.Holders
	for i := range allStickers {
		first := whole.copied()
		people := members(t, desk)
		drop := []int{i, (i + 1) % len(people)}
		for n, k := range drop {
			people[k].drop = agreed.Retired
			if n == 0 {
				people[k].name = "" // a plan need not know whose it was
			}
		}
		_, desk := first.follow(strings.Replace(following(agreed.Rotate, "", people...), "trusted =", fmt.Sprintf("earlier = [%q]\ntrusted =", first.dir), 1))
		runTo(t, desk, "publish")
		runTasks(t, desk, &prompt.Script{}, "publish")
		var stay []string
		for k, h := range holders {
			if !slices.Contains(drop, k) {
				stay = append(stay, attemptFolder(t, first.dir, h.ID))
			}
		}
		slices.Sort(stay)
		for n, k := range drop {
			folder := attemptFolder(t, first.dir, holders[k].ID)
			files, err := filepath.Glob(filepath.Join(first.dir, folder, "*.age"))
			if err != nil || len(files) == 0 {
				t.Fatal(err)
			}
			said := retireSaid(t, desk, "old-"+people[k].key[:8], nil)
			destroy := sentences(said, "destroy")
			if len(destroy) != 1 || !slices.Equal(foldersIn(destroy[0]), []string{folder}) || !strings.Contains(destroy[0], fmt.Sprintf("%d files", len(files))) {
				t.Errorf("%s, %d files in %s: %q", holders[k].Name, len(files), folder, destroy)
			}
			if kept := sentences(said, "must stay"); len(kept) != 1 || !slices.Equal(foldersIn(kept[0]), stay) {
				t.Errorf("%s: %q, want %q to stay", holders[k].Name, kept, stay)
			}
			// Each has the other four, and the safe.
			want := []string{"4 are left", "3 are left, and all of them must come"}[n]
			if left := sentences(said, "are left"); len(left) != 1 || !strings.Contains(left[0], want) {
				t.Errorf("%s: %q, want %q", holders[k].Name, left, want)
			}
			recorded := desk.State().Holders["old-"+people[k].key[:8]].Retired.Backups
			if len(recorded) != 1 || recorded[0] != destroy[0] {
				t.Errorf("%s: recorded is %q", holders[k].Name, recorded)
			}
		}
	}
}

// Where people get new keys under their old names and ids, in a ceremony of the
// same name: what is to be destroyed are folders that no key in force has, here
// or on any medium, and those of the new keys are said to stay.
func TestRetireSparesTheNewKeyOfTheSameHolder(t *testing.T) {
	first, desk := withBackups(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	desk.Close()
	gone := slices.Clone(people[3:])
	for i := range gone {
		gone[i].drop = agreed.Retired
		people[3+i].key, people[3+i].token = "", fmt.Sprintf("N-%d", i)
	}
	head := fmt.Sprintf("earlier = [%q]\n[root]\nexpires = \"365d\"\n[backup]\nquorum = 3\nrecipients = [\"holders\"]\n", first.dir)
	second, desk := first.follow(following(agreed.Rotate, head, append(people, gone...)...), "N-0", "N-1")
	runTo(t, desk, "publish")
	runTasks(t, desk, &prompt.Script{}, "publish")
	holders := desk.State().Plan.Holders[3:]
	own := []string{attemptFolder(t, second.dir, holders[0].ID), attemptFolder(t, second.dir, holders[1].ID)}
	for i, p := range gone {
		old := attemptFolder(t, first.dir, holders[i].ID)
		said := retireSaid(t, desk, "old-"+p.key[:8], nil)
		destroy := sentences(said, "destroy")
		if len(destroy) != 1 || !slices.Equal(foldersIn(destroy[0]), []string{old}) || !strings.Contains(destroy[0], "root v1") {
			t.Errorf("%s: %q", p.name, destroy)
		}
		kept := sentences(said, "must stay")
		if !slices.ContainsFunc(kept, func(s string) bool { return slices.Equal(foldersIn(s), own) }) {
			t.Errorf("%s: %q, want %q to stay", p.name, kept, own)
		}
	}
}

// Where the reset would leave too few who open the backup of a key that stays,
// that is said before it; and a token that is lost is not one of those left.
func TestRetireLeavesTooFew(t *testing.T) {
	first, desk := withBackups(t, "quorum = 3 ", "quorum = 5 ")
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	desk.Close()
	people[3].drop = agreed.Retired
	_, desk = first.follow(strings.Replace(following(agreed.Rotate, "", people...), "trusted =", fmt.Sprintf("earlier = [%q]\ntrusted =", first.dir), 1))
	runTo(t, desk, "publish")
	runTasks(t, desk, &prompt.Script{}, "publish")
	said := retireSaid(t, desk, "old-"+people[3].key[:8], nil)
	want := "nobody can open the backups of Alice Costa, Bruno Ferraz, Chen Wei and Emil Novak any more"
	if left := sentences(said, "nobody can open"); len(left) != 1 || !strings.Contains(left[0], want) || !strings.Contains(left[0], "4 are left") {
		t.Errorf("%q, want %q", said, want)
	}
	// With one lost besides, the first who leaves does not leave four.
	first, desk = withBackups(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people = members(t, desk)
	desk.Close()
	people[3].drop, people[4].drop = agreed.Retired, agreed.Lost
	_, desk = first.follow(strings.Replace(following(agreed.Rotate, "", people...), "trusted =", fmt.Sprintf("earlier = [%q]\ntrusted =", first.dir), 1))
	runTo(t, desk, "publish")
	runTasks(t, desk, &prompt.Script{}, "publish")
	said = retireSaid(t, desk, "old-"+people[3].key[:8], nil)
	if left := sentences(said, "are left"); len(left) != 1 || !strings.Contains(left[0], "3 are left, and all of them must come") {
		t.Errorf("%q", said)
	}
}

// A plan that was agreed by a former version knows no folders: it names the
// holder, and never the folder of all.
func TestRetireByAnOlderPlan(t *testing.T) {
	first, desk := withBackups(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	desk.Close()
	people[4].drop = agreed.Retired
	second, desk := first.follow(strings.Replace(following(agreed.Rotate, "", people...), "trusted =", fmt.Sprintf("earlier = [%q]\ntrusted =", first.dir), 1))
	runTo(t, desk, "publish")
	runTasks(t, desk, &prompt.Script{}, "publish")
	plan := *desk.State().Plan
	plan.Earlier = slices.Clone(plan.Earlier)
	plan.Earlier[0].Backups = slices.Clone(plan.Earlier[0].Backups)
	for i, b := range plan.Earlier[0].Backups {
		plan.Earlier[0].Backups[i] = agreed.EarlierBackup{Holder: b.Holder, Quorum: b.Quorum, Recipients: b.Recipients}
	}
	if strings.Contains(string(plan.PrivateJSON()), path.Dir(agreed.BackupsDir)) {
		t.Errorf("%s", plan.PrivateJSON())
	}
	if _, err := agreed.Parse(plan.JSON(), plan.PrivateJSON()); err != nil {
		t.Fatal(err)
	}
	desk.State().Plan.Earlier = plan.Earlier
	said := retireSaid(t, desk, "old-"+people[4].key[:8], nil)
	destroy := sentences(said, "destroy")
	if len(destroy) != 1 || len(foldersIn(destroy[0])) != 0 || !strings.Contains(destroy[0], "the files of Emil Novak alone") {
		t.Errorf("%q", destroy)
	}
	if text, err := os.ReadFile(filepath.Join(second.dir, transcript.FileName)); err != nil || strings.Contains(string(text), "the folder private/backups/ ") {
		t.Error("the folder of all backups is in the record")
	}
}
