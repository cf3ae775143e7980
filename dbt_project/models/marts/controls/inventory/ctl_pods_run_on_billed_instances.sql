with

{{ billed_months() }},

unbilled as (

    select
        billing_month,
        count(*) as pod_hour_count,
        sum(bound_seconds) as bound_seconds,
        count(distinct instance_id) as instance_count,
        min(instance_id) as example
    from {{ ref('int_pod_hours__unbilled') }}
    group by billing_month

),

final as (

    select
        months.billing_month,
        null::string as payer_account_id,
        null::string as cost_basis,
        {{ expects_none('unbilled.pod_hour_count', '0') }}
        coalesce(unbilled.pod_hour_count, 0) || ' pod-hours ('
        || {{ hours_text('coalesce(unbilled.bound_seconds, 0) / 3600') }}
        || ' hours) on node-hours that the bill does not know'
        || coalesce(
            ', on ' || unbilled.instance_count || ' instances like ' || unbilled.example, ''
        ) as evidence
    from months
    left join unbilled on months.billing_month = unbilled.billing_month

)

select * from final
