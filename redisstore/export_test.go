package redisstore

// ClaimScript and CompleteScript are what Claim and Complete send.
var (
	ClaimScript    = claimScript
	CompleteScript = completeScript
)
