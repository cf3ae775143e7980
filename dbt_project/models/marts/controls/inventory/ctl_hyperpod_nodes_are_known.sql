with

{{ billed_payers() }},

unknown as (

    select
        billing_month,
        payer_account_id,
        count(*) as hour_count,
        sum(amortized_usd) as amortized_usd,
        min(instance_type) as example
    from {{ ref('int_hyperpod_hours__apportioned') }}
    where instance_id is null
    group by billing_month, payer_account_id

),

{{ none_of_payers(
    'unknown', 'hour_count', 'unknown.amortized_usd',
    "hours of HyperPod instance types without a node in the inventory",
) }}

select * from final
