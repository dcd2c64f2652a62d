package listen

import (
	"context"
	"errors"

	"github.com/geminihook/geminihook"
	"github.com/geminihook/geminihook/webhooktest"
)

// replayTest marks an event that was made on the page.
const replayTest = "test"

var (
	errNoTarget = errors.New("start the command with -forward URL to send events")
	errBody     = errors.New("the event is not a JSON object")
)

// sendTest signs a body that the user has written, as a delivery with a fresh id, sends it to
// the local program, and keeps it like one that has arrived.
func (rc *receiver) sendTest(ctx context.Context, body []byte) (int64, result, error) {
	ev, err := geminihook.ParseUnverified(body)
	switch {
	case rc.forward == nil:
		return 0, result{}, errNoTarget
	case len(rc.cfg.Signers) == 0:
		return 0, result{}, errNoSigner
	case err != nil:
		return 0, result{}, errBody
	case !rc.enter():
		return 0, result{}, errBusy
	}
	defer rc.leave()
	d := webhooktest.NewBody(body, rc.cfg.Signers...)
	proof, err := rc.cfg.Verifier.Verify(ctx, d.Header, body)
	if err != nil {
		return 0, result{}, err
	}
	a := &attempt{path: "/", header: d.Header, body: body, replay: replayTest}
	g := rc.store.begin(&group{
		key: proof.Scheme + ":" + d.ID(), id: d.ID(), typ: claim(string(ev.Type)),
		job: claim(ev.JobID()), genuine: true, proof: proof,
	}, a)
	res := rc.forward.send(rc.ctx, a.header, a.body)
	rc.store.finish(g, a, res)
	rc.notice(rc.noticeOf(g, a))
	return g.number, res, nil
}
