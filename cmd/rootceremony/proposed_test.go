package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
)

// proposals are the commands that the program tells people to type, as its
// source has them, and the situations in which that is tried: subtests of
// TestProposedCommands, or another test.
var proposals = map[string]string{
	`ceremony.Command(called.name, "--help")`:                                          "TestCommandHelp",
	`ceremony.Command("check", file)`:                                                  "an enrolment by a plan without a salt",
	`Command("check", file)`:                                                           "TestInterviewTooLarge",
	`Command("check", iv.planFile())`:                                                  "after a plan",
	`Command("run", iv.path)`:                                                          "after a plan",
	`Command("rehearse", "--plan", p.File)`:                                            "TestAPlanIsRehearsedElsewhere",
	`Command("rehearse", "--stand-in", p.File)`:                                        "after a plan",
	`Command("rehearse", "--after", dir, "--plan", p.File)`:                            "after a plan for a rehearsal's root",
	`Command("rehearse", "--after", "DIR0", "--plan", p.File)`:                         "after a plan for the root of a rehearsal that is elsewhere",
	`Command("plan", "--kind", Revoke, iv.path)`:                                       "backups that are not known of",
	`Command("plan", "--kind", Revoke, "DIR")`:                                         "backups that are not known of",
	`Command("plan", "--kind", Rotate, "DIR")`:                                         "after a real ceremony",
	`ceremony.Command("plan", "--kind", Rotate, "DIR")`:                                "after a real ceremony",
	`Command("rehearse", "--stand-in", "DIR/" + PlanFile)`:                             "after a plan",
	`Command("restore", "DIR")`:                                                        "a PIN was seen",
	`Command("checkup", "DIR")`:                                                        "a PIN was seen",
	`Command(do, r.dir)`:                                                               "a lost token with a backup",
	`Command("plan", dir)`:                                                             "no plan in a folder",
	`Command("enrol", "PLAN", "--holder", begun.Enrols)`:                               "an enrolment that is taken for a ceremony",
	`Command("collect", "DIR", "FILE")`:                                                "TestEnrolAndCollect",
	`Command("collect", "DIR", file)`:                                                  "TestSignARehearsalElsewhere",
	`ceremony.Command("collect", "DIR", signing.Written())`:                            "TestSignARehearsalElsewhere",
	`ceremony.Command("collect", desk.Dir(), f.File)`:                                  "TestStandInByHand",
	`ceremony.Command("sign", "--rehearsal", "DIR", "FILE")`:                           "an enrolment of a key that stays",
	`ceremony.Command("sign", "FILE")`:                                                 "an enrolment of a key that stays",
	`Command("run", dir)`:                                                              "a real ceremony that is rehearsed",
	`ceremony.Command("run", desk.Dir())`:                                              "a ceremony that is left",
	`ceremony.Command("rehearse", dir)`:                                                "a rehearsal that is run",
	`ceremony.Command("rehearse", desk.Dir())`:                                         "a rehearsal that is left",
	`ceremony.Command("rehearse", "--attestation-root", "FILE", desk.Dir())`:           "TestTroubleByHand",
	`Command("rehearse", dir)`:                                                         "after a rehearsal that is not finished",
	`ceremony.Command("status", dir)`:                                                  "a check-up before a plan is agreed",
	`Command("status", d.dir)`:                                                         "TestEnrolAndCollect",
	`Command("show", "FILE")`:                                                          "a plan without a key id",
	`ceremony.Command("rehearse", "--plan", own)`:                                      "TestAPlanIsRehearsedElsewhere",
	`ceremony.Command("rehearse", "DIR")`:                                              "no home",
	`ceremony.Command("token", "list")`:                                                "TestTokenCommand",
	`ceremony.Command("token", "reset", "--serial", fmt.Sprint(t.info.Serial))`:        "TestTokenCommand",
	`"Backed up? rootceremony restore DIR0 puts the key on a fresh token."`:            "a PIN was seen",
	`"Open backups: rootceremony restore DIR0, with who must come for each."`:          "a PIN was seen",
	`Command("restore", d.dir)`:                                                        "a PUK that is blocked",
	`"Elsewhere: rootceremony sign FILE. Here: rootceremony collect DIR FILE."`:        "TestSignARehearsalElsewhere",
	`"rootceremony check PLAN says whose backups they can still help to open."`:        "after a plan",
	"\"# The plan of a root ceremony. Review it before the day; `rootceremony che":     "after a plan",
	`"It has a PIN, and the keys in 9a and 82, as rootceremony token prepare mak`:      "names what makes such tokens",
	`"it is no enrolment file that this version reads: %w (hint: rootceremony en`:      "names what makes such files",
	"`it is no enrolment file (with \"format\"), no root file (with \"signed\" and \"": "names what makes such files",
}

// checkTried holds that whatever in the source tells people to type a command is
// among the proposals, and the other way round. situations are those there were.
func checkTried(t *testing.T, situations []string) {
	t.Helper()
	names := regexp.MustCompile(`rootceremony (` + strings.Join(commandNames(), "|") + `)\b`)
	floors := regexp.MustCompile(`\b(agreed|ceremony|plan|state)\.`) // a command is named without them
	found := map[string]bool{}
	for _, folder := range []string{"../../ceremony", "../../ui", "../../keys", "."} {
		err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || folder == "." && name == "commands.go" {
				return err // commands.go has examples: TestHelpExamples
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(node ast.Node) bool {
				switch node := node.(type) {
				case *ast.CallExpr:
					if called := types.ExprString(node.Fun); called == "Command" || called == "agreed.Command" {
						command := floors.ReplaceAllString(types.ExprString(node), "")
						if folder != "../../ceremony" {
							command = "ceremony." + command
						}
						found[command] = true
					}
				case *ast.BasicLit:
					if node.Kind == token.STRING && names.MatchString(node.Value) {
						found[node.Value[:min(len(node.Value), 75)]] = true
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for proposal := range found {
		if proposals[proposal] == "" {
			t.Errorf("nothing tries %s", proposal)
		}
	}
	for proposal, tried := range proposals {
		if !found[proposal] {
			t.Errorf("nobody proposes %s", proposal)
		}
		if !strings.HasPrefix(tried, "Test") && !strings.HasPrefix(tried, "names ") && !slices.Contains(situations, tried) {
			t.Errorf("%s: there is no situation %q", proposal, tried)
		}
	}
}

func commandNames() (names []string) {
	for _, c := range commands {
		names = append(names, c.name)
	}
	return names
}

// typed is a command as a shell runs it, at the end of its input, with what it
// shows. Commands that take tokens are built with the smart-card library.
func typed(t *testing.T, folder, command, input string, env ...string) (string, int) {
	t.Helper()
	card, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	command = strconv.Quote(card) + strings.TrimPrefix(command, "rootceremony")
	shell := exec.Command("sh", "-c", command)
	shell.Dir, shell.Env = folder, append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
	shell.Env = append(shell.Env, env...)
	shell.Stdin = strings.NewReader(input)
	out, _ := shell.CombinedOutput()
	return string(out), shell.ProcessState.ExitCode()
}

// TestProposedCommands gets into each situation in which the program proposes a
// command, and types that: it does what was said, or asks. Folders have names
// that a shell would take apart.
func TestProposedCommands(t *testing.T) {
	t.Parallel()
	base := filepath.Join(t.TempDir(), "it's here")
	if err := os.Mkdir(base, 0o700); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(base, name) }
	quoted := func(name string) string { return strings.TrimPrefix(agreed.Command(at(name)), "rootceremony ") }
	first, real := at("first"), at("real")
	rehearsed(t, first)
	if out, status := typed(t, base, "rootceremony rehearse --plain begun", ""); status != exitUnfinished {
		t.Fatal(out)
	}
	unsalted := onTokenPlanFile(t, `"365d"`, strconv.Quote(agreed.Stamp(clock().AddDate(1, 0, 0).Truncate(time.Hour))), `salt = "`+strings.Repeat("5a", 32)+`"`, "")
	for _, copied := range [][2]string{{filepath.Dir(onTokenPlanFile(t)), real}, {filepath.Join(first, "publish"), at("chain alone/trusted")}, {chainFolder(t), at("revoked")}, {chainFolder(t), at("lost")}, {chainFolder(t), at("too many")}, {filepath.Dir(unsalted), at("dated")}, {first, at("blocked")}} {
		if err := os.CopyFS(copied[1], os.DirFS(copied[0])); err != nil {
			t.Fatal(err)
		}
	}
	blockPUK(t, filepath.Join(at("blocked"), filepath.FromSlash(ceremony.TokensDir)), "B-02")
	after := at("after")
	rehearsed(t, "--plan", onTokenPlanFile(t), at("small")) // without backups
	rehearsed(t, "--after", at("small"), after)
	drafts, _ := filepath.Glob(filepath.Join(after, "metadata", "*", "*.unsigned.json"))
	if len(drafts) != 1 {
		t.Fatal(drafts)
	}
	rewrite(t, at("revoked/no-id.toml"), "kind = \"rotate\"\nname = \"Example\"\ntrusted = \"trusted\"\n[root]\nexpires = \"365d\"\n[[holder]]\nname = \"Alice\"\ncustody = \"existing\"\n[[drop]]\nreason = \"retired\"\n")
	if out, _ := typed(t, base, "rootceremony enrol --plain --holder farah "+quoted("after/plan.resolved.json"), ""); !strings.Contains(out, "kept in enrolment-farah") {
		t.Fatal(out)
	}

	type proposal struct {
		command string            // as it is shown
		with    map[string]string // in the place of what it leaves open
		status  int
		says    string
	}
	var situations []string
	for _, c := range []struct {
		name, command, input string
		proposed             []proposal
	}{
		{"after a plan", "plan --plain --kind revoke " + quoted("revoked"), "token-stolen\n\nExample\n2\n\n", []proposal{
			{"check " + quoted("revoked/plan.toml"), nil, 0, "revoke"},
			{"rehearse --stand-in " + quoted("revoked/plan.toml"), nil, exitUnfinished, "Check the laptop"},
			{"run " + quoted("revoked"), nil, exitUnfinished, "Check the laptop"}}},
		{"after a plan for a rehearsal's root", "plan --plain --kind revoke " + quoted("way out"), "token-stolen\n" + first + "\n2\n\n", []proposal{
			{"check " + quoted("way out/plan.toml"), nil, 0, "revoke"},
			{"rehearse --after " + quoted("first") + " --plan " + quoted("way out/plan.toml"), nil, exitUnfinished, "Check the laptop"}}},
		{"after a plan for the root of a rehearsal that is elsewhere", "plan --plain --kind revoke " + quoted("chain alone"), "token-stolen\n\nExample\n2\n\n", []proposal{
			{"rehearse --after DIR0 --plan " + quoted("chain alone/plan.toml"), map[string]string{"DIR0": quoted("first")}, exitUnfinished, "Check the laptop"}}},
		{"a run of a plan for a rehearsal's root", "run --plain " + quoted("way out"), "", []proposal{
			{"rehearse --after " + quoted("first") + " --plan " + quoted("way out/plan.toml"), nil, exitUnfinished, "Check the laptop"}}},
		{"a lost token with a backup", "plan --plain --kind revoke " + quoted("restored"), "token-lost\n" + first + "\n1\nrestore\n", []proposal{
			{"restore " + quoted("first"), nil, exitUnfinished, "Restore from a backup"},
			{"checkup " + quoted("first"), nil, exitUnfinished, "End the check-up"}}},
		{"a PIN was seen", "plan --plain --kind revoke " + quoted("seen"), "pin-seen\nin-hand\n", []proposal{
			{"restore DIR", map[string]string{"DIR": quoted("first")}, exitUnfinished, "Restore from a backup"},
			{"checkup DIR", map[string]string{"DIR": quoted("first")}, exitUnfinished, "End the check-up"}}},
		{"a PUK that is blocked", "restore --plain " + quoted("blocked"), "\nbruno\npin\nB-02\n", []proposal{
			{"restore", map[string]string{"restore": "restore " + quoted("blocked")}, exitUnfinished, "Restore from a backup"}}},
		{"backups that are not known of", "plan --plain --kind revoke " + quoted("lost"), "quorum-lost\n\nExample\n1,2,3\nlook\n", []proposal{
			{"plan --kind revoke " + quoted("lost"), nil, exitUnfinished, "What has happened?"}}},
		{"no root helps", "plan --plain --kind revoke " + quoted("too many"), "quorum-lost\n\nExample\n1,2,3\nnone\nno\n", []proposal{
			{"plan --kind revoke " + quoted("too many"), nil, exitUnfinished, "What has happened?"}}},
		{"no plan in a folder", "rehearse " + quoted("first/publish"), "", []proposal{{"plan " + quoted("first/publish"), nil, exitUnfinished, "What is the project's name?"}}},
		{"a plan without a key id", "check " + quoted("revoked/no-id.toml"), "", []proposal{{"show FILE", map[string]string{"FILE": quoted("revoked/trusted/1.root.json")}, 0, "key"}}},
		{"an enrolment that is taken for a ceremony", "rehearse enrolment-farah", "", []proposal{
			{"enrol PLAN --holder farah", map[string]string{"PLAN": quoted("after/plan.resolved.json")}, exitUnfinished, "Check the laptop"}}},
		{"an enrolment by a plan without a salt", "enrol --holder alice " + quoted("dated/plan.toml"), "", []proposal{
			{"check " + quoted("dated/plan.toml"), nil, 0, "write the line salt = "}}},
		{"an enrolment of a key that stays", "enrol --holder alice " + quoted("after/plan.resolved.json"), "", []proposal{
			{"sign --rehearsal DIR FILE", map[string]string{"DIR": quoted("after"), "FILE": agreed.Command(drafts[0])[len("rootceremony "):]}, exitUnfinished, "Review root v2"}}},
		{"no home", "rehearse", "", []proposal{{"rehearse DIR", map[string]string{"DIR": quoted("fresh")}, exitUnfinished, "Check the laptop"}}},
		{"a rehearsal that is run", "run " + quoted("begun"), "", []proposal{{"rehearse " + quoted("begun"), nil, exitUnfinished, "Check the laptop"}}},
		{"a rehearsal that is left", "rehearse --plain " + quoted("begun"), "", []proposal{{"rehearse " + quoted("begun"), nil, exitUnfinished, "Check the laptop"}}},
		{"after a rehearsal that is not finished", "rehearse --after " + quoted("begun") + " next", "", []proposal{{"rehearse " + quoted("begun"), nil, exitUnfinished, "Check the laptop"}}},
		{"a check-up before a plan is agreed", "checkup " + quoted("begun"), "", []proposal{{"status " + quoted("begun"), nil, exitUnfinished, "next:"}}},
		{"a ceremony that is left", "run --plain " + quoted("real"), "", []proposal{{"run " + quoted("real"), nil, exitUnfinished, "Check the laptop"}}},
		{"a real ceremony that is rehearsed", "rehearse " + quoted("real"), "", []proposal{{"run " + quoted("real"), nil, exitUnfinished, "Check the laptop"}}},
		{"after a real ceremony", "rehearse --after " + quoted("real") + " next", "", []proposal{
			{"plan --kind rotate DIR", map[string]string{"DIR": quoted("new")}, exitUnfinished, "Folder of the ceremony that made the newest root?"},
			{"rehearse --stand-in DIR/plan.toml", map[string]string{"DIR": quoted("revoked")}, exitUnfinished, "Check the laptop"}}},
	} {
		situations = append(situations, c.name)
		t.Run(c.name, func(t *testing.T) {
			var env []string
			if c.name == "no home" {
				env = []string{"HOME=", "XDG_STATE_HOME="}
			}
			out, _ := typed(t, base, "rootceremony "+c.command, c.input, env...)
			if c.name == "a run of a plan for a rehearsal's root" && (strings.Contains(out, "put the published roots into") || !strings.Contains(out, "name the folder of the published roots as trusted in ")) {
				t.Errorf("what a rehearsal has published is to be replaced:\n%s", out)
			}
			for _, p := range c.proposed {
				if !strings.Contains(out, "rootceremony "+p.command) {
					t.Errorf("%s is not proposed:\n%s", p.command, out)
					continue
				}
				command := p.command
				for from, to := range p.with {
					command = strings.ReplaceAll(command, from, to)
				}
				said, status := typed(t, base, "rootceremony "+command, "")
				if status != p.status || !strings.Contains(said, p.says) {
					t.Errorf("%s: status %d\n%s", command, status, said)
				}
			}
			// Commands stand below the line that says so.
			if next := strings.Index(out, "Type next:"); next >= 0 && strings.Contains(c.command, "plan ") && strings.LastIndex(out[:next], "\n  rootceremony ") >= 0 {
				t.Errorf("commands stand above %q:\n%s", "Type next:", out)
			}
		})
	}
	checkTried(t, situations)
}

// blockPUK uses up the tries that a virtual token's PUK has.
func blockPUK(t *testing.T, folder, sticker string) {
	t.Helper()
	drawer, err := virtual.OpenDrawer(folder)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := drawer.Serial(sticker)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := virtual.Open(session.Backend{Kind: virtual.Kind, Dir: folder, Plugged: []uint32{serial}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := opener.Open(serial)
	if err != nil {
		t.Fatal(err)
	}
	defer token.Close()
	wrong, err := secret.Take([]byte("00000001"))
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Wipe()
	for left := -1; left != 0; {
		var refused *keys.PINError
		if err := token.Unblock(wrong, wrong); !errors.As(err, &refused) {
			t.Fatal(err)
		}
		left = refused.TriesLeft
	}
}
