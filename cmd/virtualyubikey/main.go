// Command virtualyubikey is a virtual YubiKey in a virtual reader: with it the
// real smart-card stack is rehearsed and tested without hardware.
package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"rootceremony/keys"
	"rootceremony/keys/plainfile"
	"rootceremony/keys/virtual"
)

const usage = `Usage:
    virtualyubikey [--state FILE] [--serial N] [--firmware X.Y.Z]
                   [--touch auto|never|DELAY] [--touch-wait DURATION]
                   [--vpcd HOST:PORT]
                   [--control SOCKET] [--attestation-root FILE] [--unplugged]
                   [--edition FIPS|Bio] [--disable-piv] [--fault FAULT]...

Options:
    --state FILE             Keep the token in FILE, which is made where there is
                             none. Without it the token ends with the program.
    --serial N               The serial of a new token. Default: at random.
    --firmware X.Y.Z         The firmware of a new token. Default: 5.7.4.
    --edition FIPS|Bio       The edition of a new token. Default: neither.
    --touch auto|never|DELAY Touch the token at once, never, or after a time such
                             as 1.5s. Default: when the command touch says so.
    --touch-wait DURATION    How long a touch is waited for, such as 1m. Default: 15s.
    --vpcd HOST:PORT         The reader. Default: 127.0.0.1:35963. A vpcd reader's
                             second slot is 35964.
    --control SOCKET         Take commands from a UNIX socket, which is made.
    --attestation-root FILE  Write what the token's attestations chain to into
                             FILE (PEM), unless it is there and says the same.
    --unplugged              Begin outside of the reader.
    --disable-piv            The PIV application is switched off.
    --fault FAULT            What goes wrong at the N-th command to the token:
                             remove@N        it is pulled out before that
                             remove-after@N  it is pulled out after that, and the
                                             answer is lost
                             sw@N=6F00       it answers that status word
                             hang@N          it never answers
                             endless@N       it has more to say, for ever
                             May be given several times.

Commands, one a line, from standard input and from the control socket; each is
answered by one line, "ok", "error: ..." or what was asked for:
    plug, unplug             into the reader, and out of it
    touch                    touch the token, if it waits for that
    fault FAULT              as --fault; N counts from the start of the program
    status                   serial, plugged or not, commands and wrong PINs and
                             PUKs so far, and whether it waits for a touch
    quit                     end the program

The token's secrets are worth nothing: they lie in FILE as they are.

Example:
    $ virtualyubikey --state alice.token --attestation-root root.pem --touch 1s
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	err := plugIn(ctx, args, stdin, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	}
	fmt.Fprintln(stderr, "virtualyubikey:", err)
	if errors.As(err, new(usageError)) {
		fmt.Fprintln(stderr, "hint: virtualyubikey --help shows the options")
		return 2
	}
	return 1
}

// options are the flags.
type options struct {
	virtual.Options
	state, vpcd, control, root string
	serial                     uint32
	faults                     []virtual.Fault
	wait                       time.Duration
	unplugged, disabled        bool
}

func parse(args []string) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("virtualyubikey", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.state, "state", "", "")
	flags.StringVar(&o.vpcd, "vpcd", "127.0.0.1:35963", "")
	flags.StringVar(&o.control, "control", "", "")
	flags.DurationVar(&o.wait, "touch-wait", keys.TouchWait*time.Second, "")
	flags.StringVar(&o.root, "attestation-root", "", "")
	flags.BoolVar(&o.unplugged, "unplugged", false, "")
	flags.BoolVar(&o.disabled, "disable-piv", false, "")
	flags.Func("serial", "", func(s string) error {
		var tail string
		if n, _ := fmt.Sscanf(s, "%d%s", &o.serial, &tail); n != 1 || o.serial == 0 {
			return errors.New("a serial is a number")
		}
		return nil
	})
	flags.Func("firmware", "", func(s string) error {
		f, tail := &o.Firmware, ""
		if n, _ := fmt.Sscanf(s, "%d.%d.%d%s", &f.Major, &f.Minor, &f.Patch, &tail); n != 3 {
			return errors.New("firmware is three numbers, such as 5.7.4")
		}
		return nil
	})
	flags.Func("edition", "", func(s string) error {
		if o.Edition = s; s != "FIPS" && s != "Bio" {
			return errors.New("an edition is FIPS or Bio")
		}
		return nil
	})
	flags.Func("touch", "", func(s string) error {
		switch s {
		case "auto":
			o.Button = virtual.ButtonAuto
		case "never":
			o.Button = virtual.ButtonDead
		default:
			o.Button = virtual.Button(s)
		}
		if !o.Button.Known() {
			return errors.New("touch is auto, never, or a time such as 1.5s")
		}
		return nil
	})
	flags.Func("fault", "", func(s string) error {
		f, err := virtual.ParseFault(s)
		o.faults = append(o.faults, f)
		return err
	})
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, usageError{err}
	}
	if flags.NArg() > 0 {
		return o, usageError{fmt.Errorf("there is no use for %q", strings.Join(flags.Args(), " "))}
	}
	return o, nil
}

// plugIn makes the token and keeps it in the reader until the context is done
// or it is told to quit.
func plugIn(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	card, root, err := virtual.OpenCard(o.state, o.serial, o.Options)
	if err != nil {
		return err
	}
	defer card.Close()
	card.WaitForTouch(o.wait)
	if o.disabled {
		card.DisablePIV()
	}
	for _, f := range o.faults {
		card.Plan(f)
	}
	if o.root != "" {
		if err := writeRoot(o.root, root); err != nil {
			return err
		}
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	s := newSlot(card, o.vpcd, func(said string) { fmt.Fprintln(stderr, "virtualyubikey:", said) })
	s.plugged = !o.unplugged
	desk := control{slot: s, quit: quit}
	if o.control != "" {
		stop, err := desk.listen(o.control)
		if err != nil {
			return err
		}
		defer stop()
	}
	go desk.serve(stdin, stdout)
	fmt.Fprintf(stderr, "virtualyubikey: token %d, firmware %v\n", card.Serial(), card.Firmware())
	return s.run(ctx)
}

// writeRoot writes a certificate into a file that is not there yet.
func writeRoot(path string, root *x509.Certificate) error {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	if have, err := plainfile.Read(path, int64(len(text))); err == nil && string(have) == string(text) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s holds something else already, and is not overwritten (hint: another name, or tokens in the same folder: they share a root)", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
