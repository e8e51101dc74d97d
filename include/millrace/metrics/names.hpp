// millrace/metrics/names.hpp - the names under which a bus shows its numbers, and what they mean.
//
// Use it when : you write a dashboard or an alert, or show the numbers of your own parts beside those of the bus.
// Use instead : names of your own for what is none of these.
// Threads     : constants.
// Order       : does not apply.
// Progress    : does not apply.
// Errors      : none.
// Exceptions  : none.
// Memory      : none.
// Cost        : none.
// Source      : OpenTelemetry's semantic conventions for messaging metrics (1.43), in Prometheus' spelling: a dot is an
//               underscore, a unit is spelled out, a counter ends in _total. What they do not have begins with millrace_.
// Checked by  : tests/metrics/names_test.cpp
//
// Example:
//   sink.gauge(millrace::names::group_lag, {{millrace::label_names::consumer_group, "billing"}}, stats.backlog);
#pragma once

#include "millrace/core/config.hpp"
#include "millrace/metrics/metric.hpp"

namespace millrace {
inline namespace v0 {

namespace names {

// Of a topic.

inline constexpr metric sent_messages{"messaging_client_sent_messages_total",
                                      "Messages that were published."};
inline constexpr metric topic_depth{"millrace_topic_depth_messages",
                                    "Messages that the topic keeps for its slowest reader."};
inline constexpr metric publish_blocked{"millrace_publish_blocked_seconds_total",
                                        "Time that publishers have waited for room."};

// Of a consumer group or a subscription.

inline constexpr metric consumed_messages{
    "messaging_client_consumed_messages_total",
    "Messages that were delivered to a consumer, each time that they were."};
inline constexpr metric process_duration{"messaging_process_duration_seconds",
                                         "Time that handlers took for a message."};
inline constexpr metric process_failures{"millrace_process_failures_total",
                                         "Attempts that ended with an exception of the handler."};
inline constexpr metric group_lag{"millrace_group_lag_messages",
                                  "Messages that were published and not taken yet."};
inline constexpr metric group_lag_age{"millrace_group_lag_seconds",
                                      "Age of the oldest message that is not settled."};
inline constexpr metric group_in_flight{"millrace_group_in_flight_messages",
                                        "Messages that were delivered and not settled yet."};
inline constexpr metric group_retry_waiting{"millrace_group_retry_waiting_messages",
                                            "Messages that wait for another attempt, or for their time."};
inline constexpr metric group_parked{"millrace_group_parked_messages",
                                     "Messages that are out of attempts and have no dead letters to go to."};
inline constexpr metric group_acked{"millrace_group_acked_messages_total",
                                    "Messages that were done with success."};
inline constexpr metric group_dead_letters{"millrace_group_dead_letters_total",
                                           "Messages that were moved to the dead letters."};
inline constexpr metric group_missed{"millrace_group_missed_messages_total",
                                     "Messages that were lost because the group was too far behind."};
inline constexpr metric group_redelivered{"millrace_group_redelivered_messages_total",
                                          "Deliveries after the first one of a message."};
inline constexpr metric group_expired{
    "millrace_group_expired_messages_total",
    "Messages that were not delivered because their time to live had passed."};
inline constexpr metric group_duplicates{
    "millrace_group_duplicate_messages_total",
    "Messages that were not delivered because they had been seen before."};
inline constexpr metric group_timed_out{"millrace_group_timed_out_deliveries_total",
                                        "Deliveries that were not settled in time."};

// Of a stage of a pipeline.

inline constexpr metric stage_depth{"millrace_stage_depth_messages", "Messages that wait before the stage."};
inline constexpr metric stage_processed{"millrace_stage_processed_messages_total",
                                        "Messages that the stage is done with."};
inline constexpr metric stage_busy{"millrace_stage_busy_seconds_total",
                                   "Time that the workers of the stage have spent in its function."};
inline constexpr metric stage_workers{"millrace_stage_workers", "Workers that the stage has."};

// Of a timer service.

inline constexpr metric timer_lateness{"millrace_timer_lateness_seconds",
                                       "How much after their time timers were run."};
inline constexpr metric timer_errors{"millrace_timer_errors_total",
                                     "Exceptions that handlers of timers have thrown."};
inline constexpr metric timers_skipped{"millrace_timer_periods_skipped_total",
                                       "Periods of timers that were left out because they came too late."};

// Of a registry.

inline constexpr metric scrape_errors{"millrace_scrape_errors",
                                      "Samples that this scrape lacks, and sources that failed in it."};

}  // namespace names

namespace label_names {

inline constexpr const char* system = "messaging_system";  // its value is "millrace"
inline constexpr const char* destination = "messaging_destination_name";
inline constexpr const char* consumer_group = "messaging_consumer_group_name";
inline constexpr const char* operation = "messaging_operation_name";
inline constexpr const char* error_type = "error_type";
inline constexpr const char* bus = "millrace_bus";
inline constexpr const char* pipeline = "millrace_pipeline";
inline constexpr const char* stage = "millrace_stage";

}  // namespace label_names

}  // namespace v0
}  // namespace millrace
