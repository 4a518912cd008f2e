package laptop

import (
	"fmt"
	"strings"

	"rootceremony/ceremony/state"
)

// findConfinement says to what this process is held, as found out by trying, and
// what this kernel leaves open (landlock(7), "Landlock features").
func (l laptop) findConfinement() state.Finding {
	const id = "confined"
	is := l.confined
	if !is.Whole() {
		return state.Finding{ID: id, Level: state.LevelWarn, Text: "this program isn't confined: it could write every file of this user, and open a connection",
			Advice: "leave, and start the program again with the command that holds this ceremony"}
	}
	const sockets = "every socket is refused but those within this laptop"
	if is.ABI == 0 {
		return state.Finding{ID: id, Level: state.LevelWarn, Text: "this program could write every file of this user, as the kernel has no Landlock; " + sockets,
			Advice: "use a kernel with Landlock (Linux 5.13 or newer; where lsm= is given at boot, landlock is in it)"}
	}
	text := fmt.Sprintf("files elsewhere are refused to this program (Landlock ABI %d), and %s", is.ABI, sockets)
	var open []string
	for _, f := range []struct {
		abi  int // that closes it
		what string
	}{{3, "files can be cut short anywhere"}, {5, "devices can be spoken to anywhere"}, {6, "other processes can be sent signals"}} {
		if is.ABI < f.abi {
			open = append(open, f.what)
		}
	}
	if open == nil {
		return state.Finding{ID: id, Level: state.LevelOK, Text: text}
	}
	text += "; this kernel leaves open: " + strings.Join(open, ", ")
	if is.ABI >= 3 {
		return state.Finding{ID: id, Level: state.LevelOK, Text: text}
	}
	return state.Finding{ID: id, Level: state.LevelWarn, Text: text, Advice: "use a newer kernel"}
}
