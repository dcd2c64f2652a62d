// Package webhooktest helps you test a program that receives Gemini webhooks.
// It makes signed deliveries, genuine and forged:
//
//	signer := webhooktest.Static(webhooktest.TestSecret)
//	delivery := webhooktest.New(geminihook.EventBatchSucceeded, signer)
//	status := webhooktest.Post(handler, delivery)
//
// [NewData] takes your own data, and [Delivery.WithMetadata] adds user_metadata.
// The methods of [Delivery] make faulty variants: [Delivery.Stale],
// [Delivery.Tampered], [Delivery.WrongSecret], and others. [Dynamic] signs
// dynamic deliveries, and [KeyServer] stands in for Google's key server.
// [Sender] delivers the way Google does, with retries, duplicates, and dropped
// connections. [Load] reads the deliveries that package record has written to files.
package webhooktest
