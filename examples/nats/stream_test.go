package main

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newServer starts a NATS server in this process for the test.
func newServer(t *testing.T) jetstream.JetStream {
	t.Helper()
	js, stop, err := connect(options{dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(stop)
	return js
}

// TestStreamKept checks that the settings of an existing stream and consumer
// stay as an operator made them.
func TestStreamKept(t *testing.T) {
	js := newServer(t)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: streamName, Subjects: []string{subject, "gemini.other"}, Description: "by an operator",
		Duplicates: 3 * window, MaxAge: 30 * window, MaxBytes: 1 << 30,
		Discard: jetstream.DiscardNew,
	})
	require.NoError(t, err)
	streamBefore := stream.CachedInfo().Config
	consumer, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: consumerName, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour,
		MaxDeliver: 3, MaxAckPending: 7,
	})
	require.NoError(t, err)
	consumerBefore := consumer.CachedInfo().Config

	stream, err = openStream(t.Context(), js)
	require.NoError(t, err)
	assert.Equal(t, streamBefore, stream.CachedInfo().Config)
	consumer, err = openConsumer(t.Context(), stream, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, consumerBefore, consumer.CachedInfo().Config)
}

// TestStreamCreated checks that the stream and the consumer that the program
// creates, now and by a second process, have no endangering settings.
func TestStreamCreated(t *testing.T) {
	js := newServer(t)
	for range 2 {
		stream, err := openStream(t.Context(), js)
		require.NoError(t, err)
		assert.Empty(t, streamWarnings(stream.CachedInfo().Config))
		consumer, err := openConsumer(t.Context(), stream, ackWait)
		require.NoError(t, err)
		assert.Empty(t, consumerWarnings(consumer.CachedInfo().Config))
		assert.Equal(t, ackWait/3, heartbeat(consumer.CachedInfo().Config))
	}
}

func TestStreamWarnings(t *testing.T) {
	good := jetstream.StreamConfig{Subjects: []string{subject}, Duplicates: window}
	assert.Empty(t, streamWarnings(good))
	for _, tt := range []struct {
		name   string
		change func(c *jetstream.StreamConfig)
		want   string
	}{
		{"subject", func(c *jetstream.StreamConfig) { c.Subjects = []string{"x"} }, "do not list gemini.events"},
		{"no acknowledgements", func(c *jetstream.StreamConfig) { c.NoAck = true }, "does not acknowledge"},
		{"memory", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "in memory"},
		{"short duplicate window", func(c *jetstream.StreamConfig) { c.Duplicates = 2 * time.Minute }, "duplicate window is 2m0s"},
		{"short age", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "after 1h0m0s"},
		{"work queue", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, "deletes handled messages"},
		{"limited size", func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, "discards old messages"},
		{"small messages", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 }, "at most 1000 bytes"},
		{"written later", func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "before it stores them"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			texts := streamWarnings(c)
			require.Len(t, texts, 1)
			assert.Contains(t, texts[0], tt.want)
		})
	}
}

func TestConsumerWarnings(t *testing.T) {
	good := jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy}
	assert.Empty(t, consumerWarnings(good))
	for _, tt := range []struct {
		name   string
		change func(c *jetstream.ConsumerConfig)
		want   string
	}{
		{"no acknowledgements", func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckNonePolicy }, "not explicit"},
		{"one attempt", func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 1 }, "not handled again"},
		{"deleted when idle", func(c *jetstream.ConsumerConfig) { c.InactiveThreshold = time.Hour }, "after 1h0m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			texts := consumerWarnings(c)
			require.Len(t, texts, 1)
			assert.Contains(t, texts[0], tt.want)
		})
	}
}
