package laptop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/state"
	"rootceremony/keys"
	"rootceremony/keys/session"
)

// SessionArgument is the one argument that makes a program the child process of
// a token session. Preflight knows the sessions of other ceremonies by it.
const SessionArgument = "token-session"

// socketVariable names a socket to the smart-card library, in the place of
// pcscd's own.
const (
	socketVariable = "PCSCLITE_CSOCK_NAME"
	pcscdSocket    = "/run/pcscd/pcscd.comm"
)

// RehearsalEnvironment is what token sessions of a rehearsal get beside
// session.Environment: its tokens may be virtual ones, in readers of a pcscd that
// listens elsewhere.
func RehearsalEnvironment() []string {
	if socket := os.Getenv(socketVariable); socket != "" {
		return []string{socketVariable + "=" + socket}
	}
	return nil
}

// throughRoot is a path through the root of another process.
var throughRoot = regexp.MustCompile(`^(/proc/[0-9]+/root)(/.+)$`)

// KeepSocket keeps a way to a socket that RehearsalEnvironment names by
// /proc/PID/root, in another mount namespace: a confined process may not go through
// that of one that isn't. The root stays open, in this process, in what it executes
// and in its children, and the variable names the socket from there.
func KeepSocket() error {
	parts := throughRoot.FindStringSubmatch(os.Getenv(socketVariable))
	if parts == nil {
		return nil
	}
	root, err := unix.Open(parts[1], unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil // who connects there says so
	}
	return os.Setenv(socketVariable, fmt.Sprintf("/proc/self/fd/%d%s", root, parts[2]))
}

// smartCards is what is known about pcscd and what is in its readers.
type smartCards struct {
	version string      // of the installed pcscd; empty: unknown
	readers []string    // names of all, empty ones too
	cards   []keys.Info // in them
	err     error       // why nothing is known about readers and cards
	socket  string      // where pcscd listens
	refused error       // why nobody can connect there; known when err is keys.ErrNoService
}

// cardsWait is enough for pcscd to start and for a look at ten tokens.
const cardsWait = 20 * time.Second

var errSlowCards = fmt.Errorf("the smart cards did not answer within %v (hint: pull the tokens out, systemctl restart pcscd, and look again)", cardsWait)

func lookAtCards(ctx context.Context, rehearsal bool, start func(context.Context) (*session.Session, error)) *smartCards {
	ctx, cancel := context.WithTimeoutCause(ctx, cardsWait, errSlowCards)
	defer cancel()
	c := &smartCards{version: pcscdVersion(ctx), socket: pcscdSocket}
	if rehearsal {
		c.socket = cmp.Or(os.Getenv(socketVariable), pcscdSocket)
	}
	child, err := start(ctx)
	if err != nil {
		c.err = err
		return c
	}
	defer child.Close()
	c.readers, c.err = child.Readers()
	if c.err == nil {
		c.cards, c.err = child.List()
	}
	// The library has one error for all of these.
	if errors.Is(c.err, keys.ErrNoService) {
		conn, err := net.DialTimeout("unix", c.socket, time.Second)
		if c.refused = err; err == nil {
			_ = conn.Close()
		}
	}
	return c
}

var versionLine = regexp.MustCompile(`^pcsc-lite version ([0-9]\S*?)\.?\s`)

// pcscdVersion asks the installed program, as a running one does not tell. The
// path that a process calls itself by could be anybody's, so it is not used.
func pcscdVersion(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, program := range []string{"/usr/sbin/pcscd", "/usr/bin/pcscd", "/usr/local/sbin/pcscd"} {
		said, err := exec.CommandContext(ctx, program, "--version").Output()
		if found := versionLine.FindSubmatch(said); err == nil && found != nil {
			return string(found[1])
		}
	}
	return ""
}

// findService reports whether pcscd lets this user in.
func (c *smartCards) findService() state.Finding {
	const id = "pcscd"
	if c.err == nil {
		version := "its version is unknown"
		if c.version != "" {
			version = "the installed one is version " + c.version
		}
		return state.Finding{ID: id, Level: state.LevelOK, Text: "pcscd lets this user in; " + version, Advice: ""}
	}
	if !errors.Is(c.err, keys.ErrNoService) {
		text, advice := splitHint(c.err.Error())
		return state.Finding{ID: id, Level: state.LevelFail, Text: text, Advice: advice}
	}
	switch {
	case c.refused == nil:
		return state.Finding{ID: id, Level: state.LevelFail, Text: "pcscd runs, but hangs up on this user",
			Advice: "polkit may say no: sit at the laptop itself, or have polkit allow this user org.debian.pcsc-lite.access_pcsc and org.debian.pcsc-lite.access_card; or else systemctl restart pcscd"}
	case errors.Is(c.refused, fs.ErrNotExist):
		return state.Finding{ID: id, Level: state.LevelFail, Text: "pcscd is not running: there is no " + c.socket,
			Advice: "systemctl enable --now pcscd.socket; where that is unknown, install pcscd"}
	case errors.Is(c.refused, syscall.ECONNREFUSED):
		return state.Finding{ID: id, Level: state.LevelFail, Text: "pcscd is not running: nothing listens at " + c.socket, Advice: "systemctl restart pcscd.socket, or start pcscd"}
	case errors.Is(c.refused, fs.ErrPermission):
		return state.Finding{ID: id, Level: state.LevelFail, Text: "this user may not open " + c.socket + ", where pcscd listens",
			Advice: "ls -l it and its folder: join the group that may (usermod -aG GROUP USER) and log in again"}
	}
	return state.Finding{ID: id, Level: state.LevelFail, Text: fmt.Sprintf("pcscd cannot be reached: %v", c.refused), Advice: "systemctl restart pcscd.socket pcscd"}
}

// findReaders names the readers and what is in them, without serial numbers:
// findings go into the record.
func (c *smartCards) findReaders() state.Finding {
	if len(c.readers) == 0 {
		return state.Finding{ID: "readers", Level: state.LevelWarn, Text: "pcscd knows no reader", Advice: "plug in a token or a reader, and look again; one that stays unknown needs its driver (libccid)"}
	}
	f := state.Finding{ID: "readers", Level: state.LevelOK}
	usable := 0
	var names, advice []string
	for _, name := range c.readers {
		i := slices.IndexFunc(c.cards, func(i keys.Info) bool { return i.Reader == name })
		switch {
		case i < 0:
			names = append(names, name+": empty")
		case c.cards[i].Problem != "", unsupported(c.cards[i]) != "":
			problem, hint := splitHint(cmp.Or(c.cards[i].Problem, "it "+unsupported(c.cards[i])))
			f.Level = state.LevelWarn
			names = append(names, name+": "+problem)
			if hint != "" && !slices.Contains(advice, hint) {
				advice = append(advice, hint)
			}
		default:
			usable++
			names = append(names, fmt.Sprintf("%s: %s, firmware %v", name, c.cards[i].FormFactor, c.cards[i].Firmware))
		}
	}
	f.Text = fmt.Sprintf("readers: %d, usable tokens in them: %d (%s)", len(c.readers), usable, strings.Join(names, "; "))
	f.Advice = strings.Join(advice, "; ")
	return f
}

// splitHint takes the advice off a message.
func splitHint(s string) (text, advice string) {
	text, advice, _ = strings.Cut(s, " (hint: ")
	return text, strings.TrimSuffix(advice, ")")
}

const closeIt = "close what uses the tokens"

// cardPrograms hold tokens, or take them at any moment, and how to end them.
var cardPrograms = []struct{ name, advice string }{
	{"scdaemon", "gpgconf --kill scdaemon, and leave gpg and its ssh agent alone"},
	{"yubikey-agent", "systemctl --user stop yubikey-agent"},
	{"pivy-agent", closeIt},
	{"ssh-pkcs11-helper", "ssh-add -e LIBRARY, or end the ssh agent"},
	{"p11-kit-server", closeIt},
	{"p11-kit-remote", closeIt},
	{"pkcs11_eventmgr", closeIt},
	{"gsd-smartcard", "log in without the GNOME desktop"},
	{"authenticator", closeIt}, // Yubico's
	{"authenticator-helper", closeIt},
	{"yubioath-desktop", closeIt},
	{"yubioath-flutter", closeIt},
	{"ykman", closeIt},
	{"ykman-gui", closeIt},
	{"yubikey-manager-qt", closeIt},
	{"yubico-piv-tool", closeIt},
	{"age-plugin-yubikey", closeIt},
	{"opensc-tool", closeIt},
	{"opensc-explorer", closeIt},
	{"pkcs11-tool", closeIt},
	{"pkcs15-tool", closeIt},
	{"piv-tool", closeIt},
	{"pcsc_scan", closeIt},
}

// maxPrograms is how many of them are named.
const maxPrograms = 6

// findPrograms looks for what would take a token away from a holder.
func (l laptop) findPrograms() state.Finding {
	const id = "programs"
	var found, advice []string
	add := func(name, pid, hint string) {
		found = append(found, fmt.Sprintf("%s (pid %s)", name, pid))
		if !slices.Contains(advice, hint) {
			advice = append(advice, hint)
		}
	}
	for _, p := range l.processes() {
		if len(p.args) == 2 && p.args[1] == SessionArgument {
			add("another token session of rootceremony", p.pid, "end the other ceremony")
		}
		for _, c := range cardPrograms {
			if p.isNamed(c.name) {
				add(c.name, p.pid, c.advice)
			}
		}
	}
	if more := len(found) - maxPrograms; more > 0 {
		found = append(found[:maxPrograms], fmt.Sprintf("and %d more", more))
	}
	if found != nil {
		return state.Finding{ID: id, Level: state.LevelWarn, Text: "other programs may take the tokens: " + strings.Join(found, ", "), Advice: strings.Join(advice, "; ")}
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "no other program is seen that takes tokens", Advice: ""}
}

// shortAPDU is --apdu among the short flags of pcscd.
var shortAPDU = regexp.MustCompile(`^-[a-z]{0,3}a[a-z]{0,3}$`)

// findAPDU looks for a smart card daemon that prints what it sends: PINs.
func (l laptop) findAPDU() state.Finding {
	const id = "apdu"
	seen := false
	for _, p := range l.processes() {
		if !p.isNamed("pcscd") {
			continue
		}
		seen = true
		for _, a := range p.args[1:] {
			if a == "--apdu" || shortAPDU.MatchString(a) {
				return state.Finding{ID: id, Level: state.LevelFail, Text: "pcscd prints every command to a token, PINs included", Advice: "start it without --apdu"}
			}
		}
	}
	if l.cards != nil && l.cards.err == nil && !seen {
		return unknown(id, "how pcscd was started", errors.New("its process is hidden"))
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "no smart card daemon prints PINs", Advice: ""}
}

// process is a program that runs; args has its own name first.
type process struct {
	pid, comm string
	args      []string
}

// processes are those that this user sees, but for the kernel's own.
func (l laptop) processes() []process {
	var all []process
	files, _ := fs.Glob(l.proc, "[0-9]*/cmdline")
	for _, file := range files {
		line, _ := fs.ReadFile(l.proc, file)
		if len(line) == 0 {
			continue
		}
		pid := path.Dir(file)
		comm, _ := fs.ReadFile(l.proc, pid+"/comm")
		all = append(all, process{pid, strings.TrimSpace(string(comm)), strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")})
	}
	return all
}

// isNamed goes by the command line, and by the name that the kernel knows:
// 15 bytes of it, and of scripts their own.
func (p process) isNamed(name string) bool {
	return path.Base(p.args[0]) == name || p.comm == name[:min(len(name), 15)]
}
