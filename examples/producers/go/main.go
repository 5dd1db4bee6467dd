// Emits one call leg with franz-go: go run . BROKERS TENANT CALL_ID
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const millis = "2006-01-02T15:04:05.000Z07:00"

func main() {
	brokers, tenant, callID := os.Args[1], os.Args[2], os.Args[3]
	ended := time.Now().UTC()
	answered := ended.Add(-219 * time.Second)

	event, err := json.Marshal(map[string]any{
		"specversion": "1.0",
		"id":          callID + "/a", // made of the platform's own record id: a retry repeats id and source
		"source":      "/telephony/sbc-eu-1",
		"type":        "telephony.call.v1",
		"subject":     tenant,
		"data": map[string]any{
			"tenant_id":        tenant,
			"call_id":          callID,
			"leg_id":           "a",
			"record_kind":      "final",
			"call_type":        "user_out",
			"caller":           "+15555550100",
			"callee":           "+442079460018",
			"number_type":      "user",
			"answered_at":      answered.Format(millis),
			"ended_at":         ended.Format(millis),
			"connected_ms":     219_000,
			"user_id":          "u-1",
			"user_country":     "US",
			"credits_licensed": true,
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	client, err := kgo.NewClient( // idempotent, with acks=all, unless told otherwise
		kgo.SeedBrokers(strings.Split(brokers, ",")...),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // nil: murmur2, as in Java
		kgo.RecordDeliveryTimeout(30*time.Second),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	record := &kgo.Record{
		Topic:   "usage.call.v1",
		Key:     []byte(tenant),
		Value:   event,
		Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json")}},
	}
	if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
		log.Fatalf("not stored, send the same event again: %v", err)
	}
}
