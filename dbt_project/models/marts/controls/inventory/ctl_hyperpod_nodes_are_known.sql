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

final as (

    select
        payers.billing_month,
        payers.payer_account_id,
        'amortized' as cost_basis,
        {{ expects_none('unknown.hour_count', 'unknown.amortized_usd') }}
        coalesce(unknown.hour_count, 0)
        || ' hours of HyperPod instance types without a node in the inventory'
        || coalesce(', like ' || unknown.example, '') as evidence
    from payers
    left join unknown
        on
            payers.billing_month = unknown.billing_month
            and payers.payer_account_id = unknown.payer_account_id

)

select * from final
