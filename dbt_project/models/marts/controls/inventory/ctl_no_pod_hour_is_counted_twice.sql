with

{{ billed_payers() }},

repeated as (

    select
        billing_month,
        payer_account_id,
        count(*) as key_count,
        sum(amortized_usd) as amortized_usd,
        min(
            pod_uid || ' on ' || coalesce(instance_id, 'Fargate') || ' at '
            || {{ utc_text('usage_hour') }}
        ) as example
    from {{ ref('int_pod_hours__repeated') }}
    group by billing_month, payer_account_id

),

final as (

    select
        payers.billing_month,
        payers.payer_account_id,
        'amortized' as cost_basis,
        {{ expects_none('repeated.key_count', 'repeated.amortized_usd') }}
        coalesce(repeated.key_count, 0) || ' pod-hours stand more than once'
        || coalesce(', like ' || repeated.example, '') as evidence
    from payers
    left join repeated
        on
            payers.billing_month = repeated.billing_month
            and payers.payer_account_id = repeated.payer_account_id

)

select * from final
